//! The data folder: held by one process at a time, and keeper of the secret that was made on the first run.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::text_file::{self, TextFileError};
use crate::{
    clock::Clock,
    crypto::{Secret, Secrets},
};

/// A data folder that this process holds. Dropping it lets the next one in; the lock dies with the process too.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Never read: it carries the lock.
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or written to.
    #[error("the data folder {path} cannot be used: {cause}; make it writable, or set DATA_DIR to another")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process serves from it.
    #[error("another process is using the data folder {0}; stop it, or set DATA_DIR to another folder")]
    Taken(PathBuf),
    /// It holds a secret that cannot be used.
    #[error("the secret kept in {path} cannot be used: {problem}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl DataDirError {
    /// Returns the program's exit code (sysexits.h: 73 `EX_CANTCREAT`, 75 `EX_TEMPFAIL`).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unusable { .. } | Self::Secret { .. } => 73,
            Self::Taken(_) => 75,
        }
    }
}

impl DataDir {
    /// Makes the folder where it is missing, and takes its lock.
    ///
    /// # Errors
    /// Where it cannot be written to, or another process holds it.
    pub fn claim(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |cause| DataDirError::Unusable { path: path.to_owned(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).append(true).mode(0o600).open(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {
                keep_from_others(path).map_err(unusable)?;
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(DataDirError::Taken(path.to_owned())),
            Err(TryLockError::Error(cause)) => Err(unusable(cause)),
        }
    }

    /// Returns the secrets kept in the folder, the first of which signs; makes one where there is none.
    ///
    /// # Errors
    /// Where the file cannot be read or written, or holds what is no secret.
    pub fn secrets(&self, clock: &Clock) -> Result<Secrets, DataDirError> {
        let path = self.path.join("secret");
        let unusable = |cause| DataDirError::Unusable { path: self.path.clone(), cause };
        match text_file::read_value(&path) {
            Ok(text) => {
                let mode = std::fs::metadata(&path).map_err(unusable)?.permissions().mode();
                if mode & 0o077 != 0 {
                    tracing::warn!(path = %path.display(), "others on this machine may read the secret: chmod 600 it");
                }
                Secrets::parse(&text)
                    .map_err(|problem| DataDirError::Secret { path, problem: problem.to_string() })
            }
            Err(TextFileError::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {
                let secret = Secret::generate(clock);
                self.keep(&path, &secret).map_err(unusable)?;
                tracing::info!(path = %path.display(), "made a secret for signing tokens; keep it with the database");
                Ok(secret.into())
            }
            Err(TextFileError::Unreadable(error)) => Err(unusable(error)),
            Err(problem) => Err(DataDirError::Secret { path, problem: problem.to_string() }),
        }
    }

    /// Writes the secret so that a crash leaves the whole of it or nothing: half a secret would sign, too.
    fn keep(&self, path: &Path, secret: &Secret) -> io::Result<()> {
        let draft = self.path.join("secret.new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&draft)?;
        writeln!(file, "{}", secret.expose())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        File::open(&self.path)?.sync_all()
    }
}

/// Takes from others what they may do with the database's files, which an older version made for all to read, and says
/// where they may look into the folder: whoever made it may have meant that.
fn keep_from_others(folder: &Path) -> io::Result<()> {
    let mode = std::fs::metadata(folder)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let path = folder.display();
        tracing::warn!(%path, mode = format_args!("{mode:04o}"), "others on this machine may open the data folder: chmod 700 {path}");
    }
    for name in ["grpcchatter.db", "grpcchatter.db-wal", "grpcchatter.db-shm", "lock"] {
        let path = folder.join(name);
        let mode = match std::fs::metadata(&path) {
            Ok(found) => found.permissions().mode() & 0o7777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // Who is not its owner may not change it, and is told.
        if mode & 0o077 != 0
            && let Err(error) = std::fs::set_permissions(&path, Permissions::from_mode(mode & 0o700))
        {
            tracing::warn!(%error, path = %path.display(), "others on this machine may open this file: chmod 600 it");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of the test's own, removed with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("grpcchatter-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_secret_is_made_once_and_only_its_owner_reads_it() {
        let folder = Folder::new("secret");
        let path = folder.0.join("deep/data");
        let kept = || {
            DataDir::claim(&path).unwrap().secrets(&Clock::system()).unwrap();
            std::fs::read_to_string(path.join("secret")).unwrap()
        };
        let first = kept();
        assert_eq!(first, kept());
        Secret::parse(first.trim()).unwrap();
        assert_eq!((mode(&path), mode(&path.join("secret"))), (0o700, 0o600));
    }

    #[test]
    fn files_that_others_could_read_are_taken_from_them() {
        let folder = Folder::new("modes");
        let files =
            ["grpcchatter.db", "grpcchatter.db-wal", "grpcchatter.db-shm"].map(|name| folder.0.join(name));
        for file in &files {
            std::fs::write(file, "").unwrap();
            std::fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        DataDir::claim(&folder.0).unwrap();
        assert_eq!(files.map(|file| mode(&file)), [0o600; 3]);
    }

    #[test]
    fn a_folder_that_another_holds_is_refused_until_it_is_let_go() {
        let folder = Folder::new("lock");
        let held = DataDir::claim(&folder.0).unwrap();
        let refused = DataDir::claim(&folder.0).unwrap_err();
        assert_eq!((refused.exit_code(), refused.to_string().contains("another process")), (75, true));
        drop(held);
        DataDir::claim(&folder.0).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_refused() {
        let folder = Folder::new("file");
        let file = folder.0.join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(DataDir::claim(&file.join("data")).unwrap_err().exit_code(), 73);
    }

    #[test]
    fn a_kept_secret_that_cannot_be_used_is_refused_and_left_as_it_is() {
        let folder = Folder::new("short");
        let data_dir = DataDir::claim(&folder.0).unwrap();
        let good = "a".repeat(32);
        for (kept, tells) in [
            ("short".to_owned(), "at least 32 bytes"),
            (format!("\u{feff}{good}"), "byte order mark"),
            (format!("{good}\n{good}\n"), "more than one line"),
        ] {
            std::fs::write(folder.0.join("secret"), &kept).unwrap();
            let refused = data_dir.secrets(&Clock::system()).unwrap_err();
            assert_eq!((refused.exit_code(), refused.to_string().contains(tells)), (73, true), "{refused}");
            assert_eq!(std::fs::read_to_string(folder.0.join("secret")).unwrap(), kept);
        }
    }
}

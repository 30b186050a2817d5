//! The data folder: locked by one process at a time. It holds the secret that is created on the first run.

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

/// A data folder that this process has locked. The lock ends when this is dropped, and when the process ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Never read: it holds the lock.
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be created or written to.
    #[error("the data folder {path} cannot be used: {cause}; make it writable, or set DATA_DIR to another")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process has locked it.
    #[error("another process is using the data folder {0}; stop it, or set DATA_DIR to another folder")]
    InUse(PathBuf),
    /// It holds a secret that cannot be used.
    #[error("the secret kept in {path} cannot be used: {problem}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
}

impl DataDirError {
    /// Returns the program's exit code (sysexits.h: 73 `EX_CANTCREAT`, 75 `EX_TEMPFAIL`).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unusable { .. } | Self::Secret { .. } => 73,
            Self::InUse(_) => 75,
        }
    }
}

impl DataDir {
    /// Creates the folder if it is missing, and locks it.
    ///
    /// # Errors
    /// Where it cannot be written to, or another process has locked it.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |cause| DataDirError::Unusable { path: path.to_owned(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).append(true).mode(0o600).open(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {
                restrict_access(path).map_err(unusable)?;
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(cause)) => Err(unusable(cause)),
        }
    }

    /// Returns the secrets in the folder, the first of which signs. Creates one if there is none.
    ///
    /// # Errors
    /// Where the file cannot be read or written, or holds no valid secret.
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
                tracing::info!(path = %path.display(), "created a secret for signing tokens; keep it with the database");
                Ok(secret.into())
            }
            Err(TextFileError::Unreadable(error)) => Err(unusable(error)),
            Err(problem) => Err(DataDirError::Secret { path, problem: problem.to_string() }),
        }
    }

    /// Writes the secret atomically: half a secret would sign as well.
    fn keep(&self, path: &Path, secret: &Secret) -> io::Result<()> {
        let draft = self.path.join("secret.new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&draft)?;
        writeln!(file, "{}", secret.expose())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        File::open(&self.path)?.sync_all()
    }
}

/// Removes other users' access to the database's files, which an older version created readable for all. Access to the
/// folder itself may be intended, so it only logs a warning.
fn restrict_access(folder: &Path) -> io::Result<()> {
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
        // Only the file's owner can change its mode; for others a warning must do.
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

    /// A temporary folder, removed when it is dropped.
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
    fn the_secret_is_created_once_and_only_its_owner_can_read_it() {
        let folder = Folder::new("secret");
        let path = folder.0.join("deep/data");
        let kept = || {
            DataDir::lock(&path).unwrap().secrets(&Clock::system()).unwrap();
            std::fs::read_to_string(path.join("secret")).unwrap()
        };
        let first = kept();
        assert_eq!(first, kept());
        Secret::parse(first.trim()).unwrap();
        assert_eq!((mode(&path), mode(&path.join("secret"))), (0o700, 0o600));
    }

    #[test]
    fn other_users_lose_access_to_the_files() {
        let folder = Folder::new("modes");
        let files =
            ["grpcchatter.db", "grpcchatter.db-wal", "grpcchatter.db-shm"].map(|name| folder.0.join(name));
        for file in &files {
            std::fs::write(file, "").unwrap();
            std::fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        DataDir::lock(&folder.0).unwrap();
        assert_eq!(files.map(|file| mode(&file)), [0o600; 3]);
    }

    #[test]
    fn a_folder_that_another_process_has_locked_is_refused_until_it_is_unlocked() {
        let folder = Folder::new("lock");
        let held = DataDir::lock(&folder.0).unwrap();
        let refused = DataDir::lock(&folder.0).unwrap_err();
        assert_eq!((refused.exit_code(), refused.to_string().contains("another process")), (75, true));
        drop(held);
        DataDir::lock(&folder.0).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_created_is_refused() {
        let folder = Folder::new("file");
        let file = folder.0.join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(DataDir::lock(&file.join("data")).unwrap_err().exit_code(), 73);
    }

    #[test]
    fn an_unusable_secret_in_the_folder_is_refused_and_not_changed() {
        let folder = Folder::new("short");
        let data_dir = DataDir::lock(&folder.0).unwrap();
        let good = "a".repeat(32);
        for (kept, expected) in [
            ("short".to_owned(), "at least 32 bytes"),
            (format!("\u{feff}{good}"), "byte order mark"),
            (format!("{good}\n{good}\n"), "more than one line"),
        ] {
            std::fs::write(folder.0.join("secret"), &kept).unwrap();
            let refused = data_dir.secrets(&Clock::system()).unwrap_err();
            assert_eq!(
                (refused.exit_code(), refused.to_string().contains(expected)),
                (73, true),
                "{refused}"
            );
            assert_eq!(std::fs::read_to_string(folder.0.join("secret")).unwrap(), kept);
        }
    }
}

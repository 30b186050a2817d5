//! Where `chatter` stores its files, by the XDG Base Directory Specification.
//!
//! The configuration folder holds the URL of the last login. The state folder holds one session file and one room
//! cache per server, readable by their owner only.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process,
};

use serde::{Deserialize, Serialize};

use crate::exit::Error;

/// The user's configuration and state folders.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    config: PathBuf,
    state: PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Settings {
    url: Option<String>,
}

impl Folders {
    /// Reads the folders from the environment. The specification says to ignore relative paths.
    pub(crate) fn find() -> Result<Self, Error> {
        let of = |name, below: &str| {
            let named = env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
            named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(below))).ok_or(Error::NoHome)
        };
        let config = of("XDG_CONFIG_HOME", ".config")?.join("chatter");
        let state = of("XDG_STATE_HOME", ".local/state")?.join("chatter");
        Ok(Self { config, state })
    }

    /// The session file for the server at `url`.
    pub(crate) fn session(&self, url: &str) -> PathBuf {
        self.state.join("sessions").join(file_name(url))
    }

    /// The room cache for the server at `url`.
    pub(crate) fn room_cache(&self, url: &str) -> PathBuf {
        self.state.join("rooms").join(file_name(url))
    }

    /// The server of the last login.
    pub(crate) fn url(&self) -> Result<Option<String>, Error> {
        let path = self.settings();
        match fs::read(&path) {
            Ok(text) => {
                let settings: Settings =
                    serde_json::from_slice(&text).map_err(|error| settings_error(&path, error.into()))?;
                Ok(settings.url)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(settings_error(&path, error)),
        }
    }

    /// Stores the server of the last login.
    pub(crate) fn set_url(&self, url: &str) -> Result<(), Error> {
        let path = self.settings();
        let settings = Settings { url: Some(url.to_owned()) };
        let write = || write_atomically(&path, &serde_json::to_vec_pretty(&settings)?);
        write().map_err(|error| settings_error(&path, error))
    }

    fn settings(&self) -> PathBuf {
        self.config.join("settings.json")
    }
}

/// The file name for a server.
fn file_name(url: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let name = url.trim_end_matches('/').chars().map(|c| if is_kept(c) { c } else { '_' });
    name.chain(".json".chars()).collect()
}

/// Replaces a file atomically: a concurrent reader, or one after a crash, sees the old or the new content whole.
/// The file is readable by its owner only; missing folders are created.
pub(crate) fn write_atomically(path: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        let mut new = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut new, 0o700);
        new.recursive(true).create(folder)?;
    }
    let beside = path.with_added_extension(process::id().to_string());
    let write = || {
        private(fs::OpenOptions::new().write(true).create(true).truncate(true))
            .open(&beside)?
            .write_all(text)?;
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&beside)))
}

fn settings_error(path: &Path, source: io::Error) -> Error {
    Error::Settings { path: path.to_owned(), source }
}

#[cfg(unix)]
fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(root: &Path) -> Folders {
        Folders { config: root.join("config"), state: root.join("state") }
    }

    #[test]
    fn the_last_server_is_stored() {
        let root = tempfile::tempdir().unwrap();
        let folders = folders(root.path());
        assert_eq!(folders.url().unwrap(), None);
        folders.set_url("http://one").unwrap();
        folders.set_url("http://a").unwrap();
        assert_eq!(folders.url().unwrap().as_deref(), Some("http://a"));
    }

    #[test]
    fn servers_do_not_share_a_session() {
        let folders = folders(Path::new("/root"));
        let session = folders.session("https://chat.example:8443/");
        assert_eq!(session, Path::new("/root/state/sessions/https___chat.example_8443.json"));
        assert_ne!(session, folders.session("https://chat.example"));
    }

    #[test]
    fn broken_settings_name_their_file() {
        let root = tempfile::tempdir().unwrap();
        let folders = folders(root.path());
        fs::create_dir_all(&folders.config).unwrap();
        fs::write(folders.settings(), "{").unwrap();
        assert!(folders.url().unwrap_err().to_string().contains("settings.json"));
    }
}

//! Where chatter keeps things: the folders of the XDG Base Directory Specification.
//!
//! The server that was logged in to last stands in the configuration; each server's session is a file of its
//! own in the state folder, readable by its owner only.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::exit::Error;

/// The folders of this person.
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
    /// Takes the folders from the environment. A relative path in it does not count, as the specification says.
    pub(crate) fn find() -> Result<Self, Error> {
        let of = |name, below: &str| {
            let named = env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
            named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(below))).ok_or(Error::NoHome)
        };
        let config = of("XDG_CONFIG_HOME", ".config")?.join("chatter");
        let state = of("XDG_STATE_HOME", ".local/state")?.join("chatter");
        Ok(Self { config, state })
    }

    /// The file of the session at `url`.
    pub(crate) fn session(&self, url: &str) -> PathBuf {
        let name: String = url
            .trim_end_matches('/')
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' })
            .collect();
        self.state.join("sessions").join(name).with_added_extension("json")
    }

    /// The server that was logged in to last.
    pub(crate) fn url(&self) -> Result<Option<String>, Error> {
        let path = self.settings();
        match fs::read(&path) {
            Ok(text) => {
                let settings: Settings =
                    serde_json::from_slice(&text).map_err(|error| failed(&path, error.into()))?;
                Ok(settings.url)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// Remembers a server.
    pub(crate) fn set_url(&self, url: &str) -> Result<(), Error> {
        let path = self.settings();
        let settings = Settings { url: Some(url.to_owned()) };
        let write = || {
            let mut folder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
            folder.recursive(true).create(&self.config)?;
            private(fs::OpenOptions::new().write(true).create(true).truncate(true))
                .open(&path)?
                .write_all(&serde_json::to_vec_pretty(&settings)?)
        };
        write().map_err(|error| failed(&path, error))
    }

    fn settings(&self) -> PathBuf {
        self.config.join("settings.json")
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
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
    fn the_last_server_is_remembered() {
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

//! A session file, so that a user's programs log in once.
//!
//! A refresh token is good for one refresh. So a program that wants to refresh locks a file beside the session
//! file, and first checks whether another program has refreshed meanwhile.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{Error, transport::Secret};

/// The interval between attempts to take the lock; short compared to a refresh.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A user's session with a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) url: String,
    /// As the server writes it.
    pub(crate) user_name: String,
    /// As the user typed it, if that differs. Files of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) typed_name: Option<String>,
    pub(crate) token: Secret,
    pub(crate) refresh_token: Secret,
}

impl Session {
    /// Whether this is the session of the named user, in either spelling.
    pub(crate) fn is_of(&self, user_name: &str) -> bool {
        self.user_name == user_name || self.typed_name.as_deref() == Some(user_name)
    }
}

/// The file of one session.
#[derive(Debug, Clone)]
pub(crate) struct SessionFile {
    path: Arc<Path>,
}

/// The lock on the session file, released on drop.
#[derive(Debug)]
pub(crate) struct SessionFileLock {
    _lock: File,
}

impl SessionFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path: path.into() }
    }

    /// Waits until no other program is changing the session, or until `deadline`.
    ///
    /// It polls, since a blocking lock could not be cancelled.
    pub(crate) async fn lock(&self, deadline: Instant) -> Result<SessionFileLock, Error> {
        let path = self.path.with_added_extension("lock");
        let lock = blocking(move || {
            create_parent(&path)?;
            private(OpenOptions::new().write(true).create(true)).open(path)
        })
        .await?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(SessionFileLock { _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() + POLL_INTERVAL < deadline => {
                    sleep(POLL_INTERVAL).await;
                }
                Err(error) => return Err(Error::SessionFile(Arc::new(error.into()))),
            }
        }
    }

    /// The stored session, if there is one.
    pub(crate) async fn load(&self) -> Result<Option<Session>, Error> {
        let path = Arc::clone(&self.path);
        blocking(move || match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Replaces the stored session atomically, readable by its owner only. A crash leaves the old or the new file,
    /// never a partial one.
    pub(crate) async fn save(&self, session: Session) -> Result<(), Error> {
        let path = Arc::clone(&self.path);
        blocking(move || {
            create_parent(&path)?;
            let new = path.with_added_extension("new");
            let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(&session)?)?;
            file.sync_all()?;
            fs::rename(new, path)
        })
        .await
    }

    /// Deletes the session.
    pub(crate) async fn remove(&self) -> Result<(), Error> {
        let path = Arc::clone(&self.path);
        blocking(move || match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }
}

/// Creates the missing folders above `path`, for their owner only.
fn create_parent(path: &Path) -> io::Result<()> {
    let mut folder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    path.parent().map_or(Ok(()), |parent| folder.recursive(true).create(parent))
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| Error::SessionFile(Arc::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str) -> Session {
        Session {
            url: "http://localhost:8080".to_owned(),
            user_name: name.to_owned(),
            typed_name: None,
            token: Secret("one".to_owned()),
            refresh_token: Secret("two".to_owned()),
        }
    }

    #[tokio::test]
    async fn a_saved_session_is_loaded_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = SessionFile::new(folder.path().join("made/session.json"));
        assert!(file.load().await.unwrap().is_none());
        file.save(session("walker1")).await.unwrap();
        file.save(session("walker2")).await.unwrap();
        assert_eq!(file.load().await.unwrap().unwrap().user_name, "walker2");
        file.remove().await.unwrap();
        file.remove().await.unwrap();
        assert!(file.load().await.unwrap().is_none());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/session.json");
        SessionFile::new(path.clone()).save(session("walker1")).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[tokio::test]
    async fn one_program_at_a_time_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let file = SessionFile::new(folder.path().join("session.json"));
        let first = file.lock(Instant::now()).await.unwrap();
        let waited = file.lock(Instant::now()).await;
        assert!(matches!(waited, Err(Error::SessionFile(_))), "the wait has an end");
        let (second, ()) = tokio::join!(file.lock(Instant::now() + Duration::from_secs(60)), async {
            drop(first);
        });
        second.unwrap();
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read() {
        let kept = r#"{"url":"http://a","user_name":"walker1","token":"one","refresh_token":"two"}"#;
        let session: Session = serde_json::from_str(kept).unwrap();
        assert!(session.is_of("walker1") && !session.is_of("walker2"));
    }

    #[tokio::test]
    async fn a_file_that_is_not_a_session_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session.json");
        fs::write(&path, "{").unwrap();
        assert!(matches!(SessionFile::new(path).load().await, Err(Error::SessionFile(_))));
    }
}

//! SQLite: a lock on the database file itself.
//!
//! A lock file beside it could be deleted, and two paths may lead to one database. SQLite locks ranges of the file
//! (`fcntl`). This lock is of the other kind (`flock`), so the two do not conflict, and operator commands work while the
//! server runs. Once a second the locked file is compared with the file at the path: a file that was put in its place is
//! another database, which another server may have locked.

use std::{
    fs::{File, Metadata, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::watch, time::sleep};

use super::state::{InstanceLock, LockState};
use crate::store::SetupError;

/// Time between two checks of the path.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl InstanceLock {
    /// Locks a database file, which is created if it is missing, and monitors its path in a task of this runtime.
    pub(in crate::store) fn acquire_file(path: &Path) -> Result<Self, SetupError> {
        let unusable = |cause| SetupError::File { path: path.to_owned(), cause };
        let file = open(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SetupError::FileInUse(path.to_owned())),
            Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
        }
        let locked = identity(&file.metadata().map_err(unusable)?);
        let (sender, state) = watch::channel(LockState::Held);
        let monitor = tokio::spawn(monitor(path.to_owned(), locked, sender)).abort_handle();
        Ok(Self { state, monitor, file: Mutex::new(Some(file)) })
    }
}

/// Opens the file only to lock it. Whether it can be written is left to SQLite.
fn open(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // It will hold everybody's messages, so only the owner may read it.
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
        }
        opened => opened,
    }
}

/// Identifies a file, whatever path leads to it.
fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

async fn monitor(path: PathBuf, locked: (u64, u64), state: watch::Sender<LockState>) {
    loop {
        sleep(CHECK_INTERVAL).await;
        match tokio::fs::metadata(&path).await {
            Ok(found) if identity(&found) == locked => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "the database file cannot be checked");
            }
            Ok(_) | Err(_) => {
                tracing::error!(path = %path.display(), "the database file was moved, deleted or replaced");
                state.send_replace(LockState::FileReplaced(path));
                return;
            }
        }
    }
}

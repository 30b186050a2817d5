//! SQLite: a lock on the database's own file, whichever way leads to it.
//!
//! Beside it a lock could be deleted, and two folders may name one database. SQLite locks ranges of the file (`fcntl`);
//! this lock is of the other sort (`flock`), so that neither meets the other, and commands beside the server go on. Once a
//! second the file is compared with what the path leads to: one that was put in its place is another database, which another
//! server may have by now.

use std::{
    fs::{File, Metadata, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::watch, time::sleep};

use super::{Claim, Hold};
use crate::store::SetupError;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

impl Claim {
    /// Takes the file, which is made where it is missing, and watches it in a task of this runtime.
    pub(in crate::store) fn take_file(path: &Path) -> Result<Self, SetupError> {
        let unusable = |cause| SetupError::File { path: path.to_owned(), cause };
        let file = open(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SetupError::FileTaken(path.to_owned())),
            Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
        }
        let held = identity(&file.metadata().map_err(unusable)?);
        let (sender, hold) = watch::channel(Hold::Held);
        let keeper = tokio::spawn(keep(path.to_owned(), held, sender)).abort_handle();
        Ok(Self { hold, keeper, file: Mutex::new(Some(file)) })
    }
}

/// Opens the file for its lock alone: what may be done with it SQLite finds out.
fn open(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // It holds everybody's messages: nobody else may read it.
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
        }
        opened => opened,
    }
}

/// Which file it is, whatever it is called.
fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

async fn keep(path: PathBuf, held: (u64, u64), hold: watch::Sender<Hold>) {
    loop {
        sleep(INTERVAL).await;
        match tokio::fs::metadata(&path).await {
            Ok(found) if identity(&found) == held => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "the database's file cannot be looked at");
            }
            Ok(_) | Err(_) => {
                tracing::error!(path = %path.display(), "the database's file was moved, deleted or replaced");
                hold.send_replace(Hold::Gone(path));
                return;
            }
        }
    }
}

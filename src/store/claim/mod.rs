//! One server a database. Whoever loses its hold on it stops writing, and ends where it is another's.

mod postgres;
mod sqlite;

use std::{fs::File, path::PathBuf};

use parking_lot::Mutex;
use tokio::{sync::watch, task::AbortHandle};

use super::{DbResult, SetupError};
use crate::model::Error;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hold {
    /// The database is this process's.
    Held,
    /// It may be another's.
    Lost,
    /// It is another's.
    Taken,
    /// The file that was held is no longer where it was.
    Gone(PathBuf),
}

/// This process's hold on a database. Dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Claim {
    hold: watch::Receiver<Hold>,
    keeper: AbortHandle,
    /// SQLite: the file whose lock it is.
    file: Mutex<Option<File>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

impl Claim {
    /// Lets writers pass while the database is this process's.
    pub(super) fn check(&self) -> DbResult<()> {
        match *self.hold.borrow() {
            Hold::Held => Ok(()),
            Hold::Lost | Hold::Taken | Hold::Gone(_) => Err(Error::DatabaseUnavailable.into()),
        }
    }

    /// Lets the next one in. SQLite's own locks go with any file handle of the process to the same file, so its
    /// connections must be closed before.
    pub(super) fn release(&self) {
        self.keeper.abort();
        drop(self.file.lock().take());
    }

    /// Ends once another process has the database, and says so.
    pub(super) async fn taken(&self) -> SetupError {
        let mut hold = self.hold.clone();
        match hold.wait_for(|hold| matches!(hold, Hold::Taken | Hold::Gone(_))).await.as_deref() {
            Ok(Hold::Gone(path)) => SetupError::FileGone(path.clone()),
            Ok(_) => SetupError::Taken,
            // The keeper ends with the runtime: nobody waits for more.
            Err(_) => std::future::pending().await,
        }
    }
}

//! The lock of one process on a database, and its state.

use std::{fs::File, path::PathBuf};

use parking_lot::Mutex;
use tokio::{sync::watch, task::AbortHandle};

use crate::{
    model::Error,
    store::{failure::DbResult, setup_error::SetupError},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LockState {
    Held,
    /// PostgreSQL: the connection with the lock is gone, and another process may have the lock. It is being acquired again.
    Lost,
    /// Another process has the lock.
    TakenOver,
    /// SQLite: the path leads to another file than the locked one, or to none.
    FileReplaced(PathBuf),
}

/// The lock of this process on a database. Dropping it releases the lock.
#[derive(Debug)]
pub(in crate::store) struct InstanceLock {
    pub(super) state: watch::Receiver<LockState>,
    /// The task that checks the lock and updates `state`.
    pub(super) monitor: AbortHandle,
    /// SQLite: the locked file.
    pub(super) file: Mutex<Option<File>>,
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        self.release();
    }
}

impl InstanceLock {
    /// Checks that this process holds the lock, before a write.
    pub(in crate::store) fn ensure_held(&self) -> DbResult<()> {
        match *self.state.borrow() {
            LockState::Held => Ok(()),
            LockState::Lost | LockState::TakenOver | LockState::FileReplaced(_) => {
                Err(Error::DatabaseUnavailable.into())
            }
        }
    }

    /// Releases the lock. On SQLite all connections must be closed before: SQLite's own locks (POSIX locks) end as soon as
    /// the process closes any handle to the same file.
    pub(in crate::store) fn release(&self) {
        self.monitor.abort();
        drop(self.file.lock().take());
    }

    /// Waits until the lock is lost for good, and says why.
    pub(in crate::store) async fn lost(&self) -> SetupError {
        let mut state = self.state.clone();
        let is_final = |state: &LockState| matches!(state, LockState::TakenOver | LockState::FileReplaced(_));
        match state.wait_for(is_final).await.as_deref() {
            Ok(LockState::FileReplaced(path)) => SetupError::FileReplaced(path.clone()),
            Ok(_) => SetupError::InUse,
            // The monitor ends with the runtime, and nothing can be lost after that.
            Err(_) => std::future::pending().await,
        }
    }
}

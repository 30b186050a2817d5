//! Keeps count of whether all that was visible is on the standby that commits wait for.
//!
//! With a synchronous standby, a commit becomes visible only after the standby has it. There are two exceptions: the
//! backend was ended while it waited, or the server crashed and restarted. Then the commit is visible, and is lost if the
//! server is lost. An author who sees a message on a stream or in a list takes it for stored. So after either event,
//! nothing of the log is shown until one later commit has returned: commits reach the standby in order, so all that was
//! visible before is on the standby by then. [`Store::wait_for_standby`](super::Store::wait_for_standby) makes that
//! commit.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::OwnedMutexGuard;

/// Counts the events after which a commit must return before the log is shown, and how many of them have been passed.
#[derive(Debug, Default)]
pub(super) struct StandbyBarrier {
    required: AtomicU64,
    passed: AtomicU64,
    /// Held by the one task that commits for all who wait.
    committing: Arc<tokio::sync::Mutex<()>>,
}

impl StandbyBarrier {
    /// Requires a later commit: something may be visible that is not on the standby.
    pub(super) fn require(&self) {
        self.required.fetch_add(1, Ordering::Release);
    }

    /// Returns how often a later commit was required.
    pub(super) fn required(&self) -> u64 {
        self.required.load(Ordering::Acquire)
    }

    /// Records that a commit has returned that was begun after `required` events.
    pub(super) fn pass(&self, required: u64) {
        self.passed.fetch_max(required, Ordering::Release);
    }

    pub(super) fn is_passed(&self) -> bool {
        self.passed.load(Ordering::Acquire) == self.required.load(Ordering::Acquire)
    }

    /// Waits until no other task makes the commit.
    pub(super) async fn lock(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.committing).lock_owned().await
    }
}

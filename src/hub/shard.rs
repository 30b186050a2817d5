//! How a shard's thread learns which rooms have something to deliver, and which second it is.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

use super::sync::Mutex;

/// The inbox of a shard's thread, which holds rooms `R` with something to deliver, and the shard's clock.
#[derive(Debug)]
pub(super) struct Shard<R> {
    inbox: Mutex<Vec<R>>,
    arrival: Notify,
    seconds: AtomicU32,
}

impl<R> Shard<R> {
    /// Has the shard's thread wake the streams of a room.
    pub(super) fn notify(&self, room: R) {
        self.inbox.lock().push(room);
        self.arrival.notify_one();
    }

    /// Waits until a room arrives in the inbox.
    pub(super) async fn notified(&self) {
        self.arrival.notified().await;
    }

    /// Empties the inbox.
    pub(super) fn take(&self) -> Vec<R> {
        std::mem::take(&mut *self.inbox.lock())
    }

    /// Returns the shard's second: how often it has ticked.
    pub(super) fn second(&self) -> u32 {
        self.seconds.load(Ordering::Relaxed)
    }

    /// Begins the next second and returns it.
    pub(super) fn tick(&self) -> u32 {
        self.seconds.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl<R> Default for Shard<R> {
    fn default() -> Self {
        Self { inbox: Mutex::default(), arrival: Notify::new(), seconds: AtomicU32::new(0) }
    }
}

//! What the hub knows of a connection: how many of its streams do not read.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// A connection's open and parked streams. Shared by the connection and its streams.
#[derive(Debug, Default)]
pub struct Connection {
    streams: AtomicUsize,
    parked: AtomicUsize,
    retired: AtomicBool,
    closing: CancellationToken,
}

impl Connection {
    /// Ends once the connection should be closed, because no stream on it reads.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Has the streams of an old connection ended, so that their clients resume on another.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn close(&self, parked: bool) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
        if parked {
            self.parked.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn park(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes the connection if every stream on it is parked: one parked stream never does, since a proxy
    /// carries many users on one connection.
    pub(crate) fn close_if_all_parked(&self) {
        if self.parked.load(Ordering::Relaxed) >= self.streams.load(Ordering::Relaxed) {
            self.closing.cancel();
        }
    }
}

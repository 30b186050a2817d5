//! Counts a connection's parked streams, so that a connection whose client reads none of them is closed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// A connection's open and parked streams. The connection and its streams share it.
#[derive(Debug, Default)]
pub struct Connection {
    streams: AtomicUsize,
    parked: AtomicUsize,
    retired: AtomicBool,
    closing: CancellationToken,
}

impl Connection {
    /// Returns once the connection should be closed, because every stream on it is parked.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Ends the streams of an old connection, so that their clients resume on another.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Counts a stream that opened.
    pub(super) fn stream_opened(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that an open stream was parked. It stays open.
    pub(super) fn stream_parked(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
    }

    /// Uncounts a stream that ended without being parked.
    pub(super) fn stream_ended(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// Uncounts a parked stream that ended.
    pub(super) fn parked_stream_ended(&self) {
        self.stream_ended();
        self.parked.fetch_sub(1, Ordering::Relaxed);
    }

    /// Closes the connection if every stream on it is parked. One stream that is read keeps it open, since a proxy carries
    /// many users on one connection.
    pub(crate) fn close_if_all_parked(&self) {
        if self.parked.load(Ordering::Relaxed) >= self.streams.load(Ordering::Relaxed) {
            self.closing.cancel();
        }
    }
}

//! How fast the peer of an HTTP/1.1 connection reads what is written to it.
//!
//! HTTP/1.1 sends one response at a time, and hyper may buffer all of it while the socket accepts nothing. So the writes to
//! the socket are measured. A peer that falls behind [`MinDataRate`] is disconnected.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::min_data_rate::MinDataRate;

/// The state of a connection's writes. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Http1Writes(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    rate: MinDataRate,
    /// Whether the current response is exempt from the minimum rate: a room's stream, which the hub parks or ends.
    is_exempt: bool,
    /// Whether the current response is a stream.
    is_stream: bool,
    /// The task of [`Http1Writes::poll_written`].
    waker: Option<Waker>,
}

impl Http1Writes {
    /// Exempts the current response from the minimum rate, or ends the exemption.
    pub(super) fn set_exempt(&self, is_exempt: bool) {
        let mut state = self.0.lock();
        if state.is_exempt && !is_exempt {
            // The rate was not enforced during the exemption.
            state.rate.reset();
        }
        state.is_exempt = is_exempt;
    }

    /// Records whether the current response is a stream.
    pub(super) fn set_stream(&self, is_stream: bool) {
        self.0.lock().is_stream = is_stream;
    }

    /// Returns whether the current response is a stream.
    pub(super) fn is_stream(&self) -> bool {
        self.0.lock().is_stream
    }

    /// Waits until the socket has accepted everything that was written.
    pub(super) fn poll_written(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if !state.rate.is_waiting() {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Returns whether the socket has not accepted everything that was written.
    pub(super) fn is_blocked(&self) -> bool {
        self.0.lock().rate.is_waiting()
    }

    /// Returns when the connection is closed unless its peer reads more; none while no write is blocked.
    pub(super) fn deadline(&self, memory_is_scarce: bool) -> Option<Instant> {
        let state = self.0.lock();
        state.rate.deadline(memory_is_scarce).filter(|_| !state.is_exempt)
    }

    /// Counts the outcome of a write of `offered` bytes.
    pub(super) fn wrote(&self, offered: usize, accepted: &Poll<io::Result<usize>>) {
        let mut state = self.0.lock();
        match accepted {
            Poll::Pending => state.rate.start_waiting(),
            Poll::Ready(Ok(count)) => {
                state.rate.add_read(*count as u64);
                if *count >= offered {
                    state.wrote_all();
                }
            }
            Poll::Ready(Err(_)) => {}
        }
    }

    /// Counts the outcome of a flush: TLS buffers bytes that it has accepted.
    pub(super) fn flushed(&self, outcome: &Poll<io::Result<()>>) {
        let mut state = self.0.lock();
        match outcome {
            Poll::Pending => state.rate.start_waiting(),
            Poll::Ready(Ok(())) => state.wrote_all(),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl State {
    fn wrote_all(&mut self) {
        self.rate.stop_waiting();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

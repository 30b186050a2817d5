//! The timeouts of an HTTP/1.1 connection between responses, and whether its next response is its last.
//!
//! hyper has one timeout, from the end of a response to the end of the next request's head. Here there are two: a
//! connection may be idle for KEEP_ALIVE_TIMEOUT, since proxies keep idle connections for a minute, and a head has ten
//! seconds from its first byte.
//!
//! Closing a connection loses a request that is on its way, and a proxy must not send a POST twice. So a connection
//! announces its close in a response (`connection: close`), after which clients send no further request on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Timeout of a request's head, from its first byte.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The state of a connection between responses. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct KeepAlive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: Mutex<WaitingFor>,
    /// KEEP_ALIVE_TIMEOUT.
    timeout: Duration,
    is_closing: AtomicBool,
    /// Cancelled when every connection closes after its next response.
    closing_all: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
enum WaitingFor {
    /// The rest of a head that began then.
    Head(Instant),
    /// A request, since then.
    Request(Instant),
    /// Nothing: a response is in progress.
    Nothing,
}

impl KeepAlive {
    /// Starts with a head whose timeout begins now.
    pub(super) fn new(timeout: Duration, closing_all: CancellationToken) -> Self {
        let waiting = Mutex::new(WaitingFor::Head(Instant::now()));
        Self(Arc::new(Inner { waiting, timeout, is_closing: AtomicBool::new(false), closing_all }))
    }

    /// Restarts the timeout of the head, after the first bytes have shown the protocol.
    pub(super) fn start(&self) {
        *self.0.waiting.lock() = WaitingFor::Head(Instant::now());
    }

    /// Records that a request's head has arrived.
    pub(super) fn request_started(&self) {
        *self.0.waiting.lock() = WaitingFor::Nothing;
    }

    /// Records that a response has ended.
    pub(super) fn response_ended(&self) {
        *self.0.waiting.lock() = WaitingFor::Request(Instant::now());
    }

    /// Records that bytes have arrived. On an idle connection they begin a head.
    pub(super) fn received(&self) {
        let mut waiting = self.0.waiting.lock();
        if let WaitingFor::Request(_) = *waiting {
            *waiting = WaitingFor::Head(Instant::now());
        }
    }

    /// Restarts the wait for the next request: the response before it is still being sent.
    pub(super) fn postpone(&self) {
        let mut waiting = self.0.waiting.lock();
        if let WaitingFor::Request(since) = &mut *waiting {
            *since = Instant::now();
        }
    }

    /// Returns when the connection times out; none while a response is in progress.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self.0.waiting.lock() {
            WaitingFor::Head(since) => Some(since + HEAD_TIMEOUT),
            WaitingFor::Request(since) => Some(since + self.0.timeout),
            WaitingFor::Nothing => None,
        }
    }

    /// Makes the next response the connection's last.
    pub(super) fn close(&self) {
        self.0.is_closing.store(true, Ordering::Relaxed);
    }

    /// Returns whether a response that is made now is the connection's last.
    pub(super) fn is_last(&self) -> bool {
        self.0.timeout.is_zero()
            || self.0.is_closing.load(Ordering::Relaxed)
            || self.0.closing_all.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(75);

    fn keep_alive() -> KeepAlive {
        KeepAlive::new(TIMEOUT, CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_ten_seconds_from_its_first_byte_and_an_idle_connection_has_its_timeout() {
        let (started, keep_alive) = (Instant::now(), keep_alive());
        keep_alive.received();
        assert_eq!(keep_alive.deadline(), Some(started + HEAD_TIMEOUT), "more of its bytes do not extend it");
        keep_alive.request_started();
        keep_alive.received();
        assert_eq!(keep_alive.deadline(), None, "its body has a timeout of its own");
        advance(HEAD_TIMEOUT).await;
        keep_alive.response_ended();
        assert_eq!(keep_alive.deadline(), Some(started + HEAD_TIMEOUT + TIMEOUT));
        advance(TIMEOUT / 2).await;
        keep_alive.postpone();
        assert_eq!(
            keep_alive.deadline(),
            Some(Instant::now() + TIMEOUT),
            "a connection that sends is not idle"
        );
        keep_alive.received();
        assert_eq!(keep_alive.deadline(), Some(Instant::now() + HEAD_TIMEOUT));
    }

    #[test]
    fn a_response_is_the_last_when_its_connection_or_every_connection_closes() {
        let closing_all = CancellationToken::new();
        let [one, other] = [(); 2].map(|()| KeepAlive::new(TIMEOUT, closing_all.clone()));
        assert!(!one.is_last());
        one.close();
        assert!(one.is_last() && !other.is_last());
        closing_all.cancel();
        assert!(other.is_last());
        assert!(KeepAlive::new(Duration::ZERO, CancellationToken::new()).is_last());
    }
}

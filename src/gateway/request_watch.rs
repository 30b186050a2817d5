//! What an HTTP/1.1 connection waits for between its answers, and whether its next answer is its last.
//!
//! hyper has one time-out for a request's head, and it begins with the end of the answer before. Here the two waits are
//! apart: a connection may be idle for KEEP_ALIVE_TIMEOUT, since proxies keep theirs for a minute, and a head has ten
//! seconds from its first byte on.
//!
//! A connection that is closed while a request is on its way to it loses that request, and a proxy must not send a POST a
//! second time. So where a connection is to end, it is told in an answer (`connection: close`), after which nobody sends
//! another request on it.

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

use super::send_watch::SendWatch;

/// How long a peer may take for the head of a request, from its first byte on.
const HEAD: Duration = Duration::from_secs(10);

/// What is known of a connection's requests. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct RequestWatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    awaited: Mutex<Awaited>,
    /// How long the next request may take to begin.
    keep_alive: Duration,
    is_last: AtomicBool,
    /// Done when the answers on all connections are their last.
    leaving: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
enum Awaited {
    /// The rest of a head that has begun then.
    Head(Instant),
    /// The next request, since then.
    Request(Instant),
    /// Nothing: a request is being answered.
    Nothing,
}

/// A request that is being answered. When it is dropped the next one is waited for, and what is not sent yet has to be read
/// like any other answer: whoever else was to look after it has ended.
#[derive(Debug)]
pub(super) struct Answering {
    requests: RequestWatch,
    sending: SendWatch,
}

impl RequestWatch {
    /// Begins with a head that begins now.
    pub(super) fn new(keep_alive: Duration, leaving: CancellationToken) -> Self {
        let awaited = Mutex::new(Awaited::Head(Instant::now()));
        Self(Arc::new(Inner { awaited, keep_alive, is_last: AtomicBool::new(false), leaving }))
    }

    /// Notes that the first bytes have come, and that they are HTTP/1.1.
    pub(super) fn start(&self) {
        *self.0.awaited.lock() = Awaited::Head(Instant::now());
    }

    /// Notes that a request has come.
    pub(super) fn begin(&self, sending: SendWatch) -> Answering {
        *self.0.awaited.lock() = Awaited::Nothing;
        Answering { requests: self.clone(), sending }
    }

    /// Notes that bytes have come: where a request was waited for, its head has begun.
    pub(super) fn read(&self) {
        let mut awaited = self.0.awaited.lock();
        if let Awaited::Request(_) = *awaited {
            *awaited = Awaited::Head(Instant::now());
        }
    }

    /// Notes that the answer before is still being sent, so that the wait for the next request begins anew.
    pub(super) fn put_off(&self) {
        let mut awaited = self.0.awaited.lock();
        if let Awaited::Request(since) = &mut *awaited {
            *since = Instant::now();
        }
    }

    /// Returns by when what is waited for must have come; none where a request is being answered.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self.0.awaited.lock() {
            Awaited::Head(since) => Some(since + HEAD),
            Awaited::Request(since) => Some(since + self.0.keep_alive),
            Awaited::Nothing => None,
        }
    }

    /// Has the next answer say that it is the last.
    pub(super) fn end(&self) {
        self.0.is_last.store(true, Ordering::Relaxed);
    }

    /// Says whether an answer that is made now is the last.
    pub(super) fn is_last(&self) -> bool {
        self.0.keep_alive.is_zero() || self.0.is_last.load(Ordering::Relaxed) || self.0.leaving.is_cancelled()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.sending.exempt(false);
        *self.requests.0.awaited.lock() = Awaited::Request(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(75);

    fn watch() -> RequestWatch {
        RequestWatch::new(KEEP_ALIVE, CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_ten_seconds_from_its_first_byte_on_and_the_next_one_may_be_late() {
        let (begun, watch) = (Instant::now(), watch());
        watch.read();
        assert_eq!(watch.deadline(), Some(begun + HEAD), "more of it puts nothing off");
        let answering = watch.begin(SendWatch::default());
        watch.read();
        assert_eq!(watch.deadline(), None, "its body has a time of its own");
        advance(HEAD).await;
        drop(answering);
        assert_eq!(watch.deadline(), Some(begun + HEAD + KEEP_ALIVE));
        advance(KEEP_ALIVE / 2).await;
        watch.put_off();
        assert_eq!(watch.deadline(), Some(Instant::now() + KEEP_ALIVE), "it is not idle while it sends");
        watch.read();
        assert_eq!(watch.deadline(), Some(Instant::now() + HEAD));
    }

    #[test]
    fn an_answer_is_the_last_where_its_connection_or_all_are_to_end() {
        let leaving = CancellationToken::new();
        let [one, other] = [(); 2].map(|()| RequestWatch::new(KEEP_ALIVE, leaving.clone()));
        assert!(!one.is_last());
        one.end();
        assert!(one.is_last() && !other.is_last());
        leaving.cancel();
        assert!(other.is_last());
        assert!(RequestWatch::new(Duration::ZERO, CancellationToken::new()).is_last());
    }
}

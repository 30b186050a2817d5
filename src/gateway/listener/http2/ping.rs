//! Finds peers that have vanished: a connection on which nothing arrives gets a PING, which a peer has to answer.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

/// How long nothing may arrive before a PING is sent.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long nothing may arrive after that.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// When something has arrived last on a connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct LastArrival {
    opened: Instant,
    /// How many milliseconds later that was.
    last: Arc<AtomicU64>,
}

impl LastArrival {
    /// Begins when a connection is opened.
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), last: Arc::default() }
    }

    /// Returns for how many milliseconds the connection has been open.
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes an arrival.
    pub(super) fn set(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

/// When the next PING is due.
pub(super) struct Pings {
    pings: PingPong,
    last_arrival: LastArrival,
    timer: Pin<Box<Sleep>>,
    /// When the last PING was sent, as the milliseconds of [`LastArrival`]. None once something has arrived since.
    sent: Option<u64>,
}

impl Pings {
    /// Begins with an interval.
    pub(super) fn new(pings: PingPong, last_arrival: LastArrival) -> Self {
        Self { pings, last_arrival, timer: Box::pin(sleep(PING_INTERVAL)), sent: None }
    }

    /// Sends a PING where one is due. Ready once the peer has not answered one in time.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let (now, last) = (self.last_arrival.now(), self.last_arrival.get());
            if self.sent.is_some_and(|sent| last < sent) {
                return Poll::Ready(());
            }
            let silence = Duration::from_millis(now.saturating_sub(last));
            let wait = if silence >= PING_INTERVAL {
                self.send();
                self.sent = Some(now);
                PONG_TIMEOUT
            } else {
                self.sent = None;
                PING_INTERVAL - silence
            };
            self.timer.as_mut().reset(Instant::now() + wait);
        }
    }

    fn send(&mut self) {
        // h2 sends the next PING only after the answer to the last one was taken.
        let _ = self.pings.poll_pong(&mut Context::from_waker(Waker::noop()));
        // Fails where the connection is closed, which its next poll shows.
        let _ = self.pings.send_ping(Ping::opaque());
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::timeout;
    use tokio_util::io::InspectReader;

    use super::*;

    /// Opens a connection to a peer that answers PINGs or does not, and returns after how long it is found to have vanished.
    async fn vanished_after(answers: bool) -> Option<Duration> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let peer = async {
            let (requests, connection) = h2::client::handshake(far).await.unwrap();
            (requests, if answers { Err(tokio::spawn(connection)) } else { Ok(connection) })
        };
        let last_arrival = LastArrival::new();
        let recorded = last_arrival.clone();
        let handshake = h2::server::handshake(InspectReader::new(near, move |_| recorded.set()));
        let (_peer, connection) = tokio::join!(peer, handshake);
        let mut connection: h2::server::Connection<_, bytes::Bytes> = connection.unwrap();
        let mut pings = Pings::new(connection.ping_pong().unwrap(), last_arrival);
        let began = Instant::now();
        let serving = poll_fn(|context| {
            let gone = pings.poll(context);
            assert!(connection.poll_accept(context).is_pending());
            gone
        });
        timeout(Duration::from_secs(3_600), serving).await.ok().map(|()| began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_no_ping_has_vanished() {
        assert_eq!(vanished_after(true).await, None);
        let after = vanished_after(false).await.expect("it has vanished");
        assert!(after.abs_diff(PING_INTERVAL + PONG_TIMEOUT) < Duration::from_millis(10), "{after:?}");
    }
}

//! The drain: ends a running server without losing what it has accepted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::Log,
    gateway::{ConnectionLimit, Health, Lifetime},
    hub::{Event, Hub},
};

/// The reconnect delays of all streams are spread over this time.
const RECONNECT_SPREAD: Duration = Duration::from_secs(5);

/// Time for the draining event to reach clients before their streams end.
const ANNOUNCE_DELAY: Duration = Duration::from_millis(500);

/// The drain ends after this time, even if connections are open or messages wait for the database.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// How long after the end of the drain the last replies are given.
const REPLY_GRACE: Duration = Duration::from_millis(250);

/// What the drain acts on.
pub(super) struct Drain {
    pub(super) hub: Hub,
    pub(super) log: Log,
    pub(super) connection_limit: ConnectionLimit,
    pub(super) health: Health,
    pub(super) lifetime: Lifetime,
    pub(super) stop_accepting: CancellationToken,
    /// Set for as long as the server drains.
    pub(super) draining: Arc<AtomicBool>,
    /// How long to go on accepting connections (`DRAIN_DELAY`).
    pub(super) delay: Duration,
}

impl Drain {
    /// Reports the server as not ready, goes on for `DRAIN_DELAY`, and then ends what is left: streams with a status,
    /// connections with GOAWAY once the calls on them are answered. Returns whether the log's writers have ended.
    pub(super) async fn run(&self) -> bool {
        self.draining.store(true, Ordering::Relaxed);
        self.lifetime.end_keep_alive.cancel();
        self.health.set(false);
        sleep(self.delay).await;
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        self.log.end_by(deadline);
        self.stop_accepting.cancel();
        for room in self.hub.rooms() {
            room.send_to_subscriptions(|stream| Event::Draining(reconnect_delay(stream.0)));
        }
        if self.hub.rooms().iter().any(|room| room.has_streams()) {
            sleep(ANNOUNCE_DELAY).await;
        }
        self.lifetime.drain.cancel();
        self.hub.drain();
        // Connections that are open at the deadline are cut below.
        let _ = timeout_at(deadline, self.connection_limit.idle()).await;
        // By then every message has its reply, even if the disk does not answer.
        let is_log_closed = timeout_at(deadline + REPLY_GRACE, self.log.close()).await.is_ok();
        self.lifetime.end.cancel();
        is_log_closed
    }
}

/// Returns a delay of at most [`RECONNECT_SPREAD`] that differs from stream to stream.
fn reconnect_delay(stream: u64) -> Duration {
    RECONNECT_SPREAD.mul_f64((stream.wrapping_mul(0x9e37_79b9) % 1_000) as f64 / 1_000.0)
}

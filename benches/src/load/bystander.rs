//! Somebody who uses the server while others press it, and who counts what is refused.
//!
//! Their calls do not wait for each other, so that a slow answer hides none of those that would have followed.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};

use super::{grpc::Connection, talker::Talker};
use crate::quantiles::Quantiles;

/// Between two calls: 40 a second are fewer than any limit allows.
pub(crate) const PACE: Duration = Duration::from_millis(25);
/// An answer that comes later is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of the calls.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How long each took that was answered.
    pub(crate) answers: Quantiles,
    /// How many were refused, or not answered.
    pub(crate) failed: u32,
}

impl Seen {
    /// Returns how many calls were made.
    pub(crate) const fn calls(&self) -> usize {
        self.answers.len() + self.failed as usize
    }
}

/// Makes a call each `pace` until `enough` of the time that passed, and returns when all have ended.
pub(crate) async fn calls<F: Future<Output = Result<()>> + 'static>(
    pace: Duration,
    enough: impl Fn(Duration) -> bool,
    call: impl Fn() -> F,
) -> Seen {
    let seen = Rc::<RefCell<Seen>>::default();
    let mut under_way = JoinSet::new();
    let mut ticks = interval(pace);
    let start = Instant::now();
    while !enough(start.elapsed()) {
        let due = ticks.tick().await;
        let (call, seen) = (call(), Rc::clone(&seen));
        under_way.spawn_local(async move {
            let ended = timeout_at(due + PATIENCE, call).await;
            let mut seen = seen.borrow_mut();
            match ended {
                Ok(Ok(())) => seen.answers.add(due.elapsed()),
                Ok(Err(_)) | Err(_) => seen.failed += 1,
            }
        });
    }
    under_way.join_all().await;
    seen.take()
}

/// Says something on Chat each [`PACE`] once the last was answered, and opens the stream again where it ends.
pub(crate) async fn chat(address: SocketAddr, token: &str, enough: impl Fn(Duration) -> bool) -> Seen {
    let mut seen = Seen::default();
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = Instant::now();
    let mut open = None;
    while !enough(start.elapsed()) {
        ticks.tick().await;
        if open.is_none() {
            let opened = timeout(PATIENCE, async {
                let connection = Connection::open(address).await?;
                let talker = Talker::open(&connection, token).await?;
                anyhow::Ok((connection, talker))
            });
            open = opened.await.ok().and_then(Result::ok);
        }
        let said = async {
            let (_, talker) = open.as_mut().context("the stream was refused")?;
            talker.send(1)?;
            talker.until_waiting(0).await
        };
        if !matches!(timeout(PATIENCE, said).await, Ok(Ok(()))) {
            seen.failed += 1;
            if let Some((_, talker)) = open.take() {
                seen.answers.absorb(talker.take_latencies());
            }
        }
    }
    if let Some((_, talker)) = open {
        seen.answers.absorb(talker.take_latencies());
    }
    seen
}

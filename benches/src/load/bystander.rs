//! A client that uses the server while others attack it or load it.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};

use super::{chat_sender::ChatSender, grpc::Connection};
use crate::latencies::Latencies;

/// The time between two calls: 40 a second are below every limit.
pub(crate) const PACE: Duration = Duration::from_millis(25);
/// The time between two messages on a gateway without limits.
const UNLIMITED_PACE: Duration = Duration::from_millis(5);
/// A call without an answer after this time has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The statistics of a bystander's calls.
#[derive(Debug, Default)]
pub(crate) struct CallStats {
    /// The latencies of the calls that succeeded.
    pub(crate) latencies: Latencies,
    /// The number of calls that were refused or not answered.
    pub(crate) failed: u32,
}

impl CallStats {
    /// Returns the number of calls.
    pub(crate) const fn calls(&self) -> usize {
        self.latencies.len() + self.failed as usize
    }
}

/// Makes a call every `pace` until `done` returns true for the elapsed time, and returns when all calls have ended. A call
/// does not wait for the one before it, so a slow answer does not delay the calls after it.
pub(crate) async fn calls<F: Future<Output = Result<()>> + 'static>(
    pace: Duration,
    done: impl Fn(Duration) -> bool,
    call: impl Fn() -> F,
) -> CallStats {
    let stats = Rc::<RefCell<CallStats>>::default();
    let mut running = JoinSet::new();
    let mut ticks = interval(pace);
    let start = Instant::now();
    while !done(start.elapsed()) {
        let due = ticks.tick().await;
        let (call, stats) = (call(), Rc::clone(&stats));
        running.spawn_local(async move {
            let ended = timeout_at(due + ANSWER_TIMEOUT, call).await;
            let mut stats = stats.borrow_mut();
            match ended {
                Ok(Ok(())) => stats.latencies.add(due.elapsed()),
                Ok(Err(_)) | Err(_) => stats.failed += 1,
            }
        });
    }
    running.join_all().await;
    stats.take()
}

/// Sends a message on Chat every 5 ms, or once the one before it is answered, until `done` returns true for the elapsed
/// time. Returns the latencies of the answers.
///
/// # Errors
/// If the stream ends, or a message is refused.
pub(crate) async fn chat(
    address: SocketAddr,
    token: &str,
    done: impl Fn(Duration) -> bool,
) -> Result<Latencies> {
    let connection = Connection::open(address).await?;
    let mut sender = ChatSender::open(&connection, token).await?;
    let mut ticks = interval(UNLIMITED_PACE);
    let start = Instant::now();
    while !done(start.elapsed()) {
        ticks.tick().await;
        sender.send(1)?;
        sender.wait_for_unanswered(0).await?;
    }
    Ok(sender.take_latencies())
}

/// Sends a message on Chat every [`PACE`], or once the one before it is answered, until `done` returns true for the elapsed
/// time. Counts refusals and ended streams as failures, and opens the next stream.
pub(crate) async fn chat_counting_failures(
    address: SocketAddr,
    token: &str,
    done: impl Fn(Duration) -> bool,
) -> CallStats {
    let mut stats = CallStats::default();
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = Instant::now();
    let mut open = None;
    while !done(start.elapsed()) {
        ticks.tick().await;
        if open.is_none() {
            let opened = timeout(ANSWER_TIMEOUT, async {
                let connection = Connection::open(address).await?;
                let sender = ChatSender::open(&connection, token).await?;
                anyhow::Ok((connection, sender))
            });
            open = opened.await.ok().and_then(Result::ok);
        }
        let answered = async {
            let (_, sender) = open.as_mut().context("the stream was refused")?;
            sender.send(1)?;
            sender.wait_for_unanswered(0).await
        };
        if !matches!(timeout(ANSWER_TIMEOUT, answered).await, Ok(Ok(()))) {
            stats.failed += 1;
            if let Some((_, sender)) = open.take() {
                stats.latencies.append(sender.take_latencies());
            }
        }
    }
    if let Some((_, sender)) = open {
        stats.latencies.append(sender.take_latencies());
    }
    stats
}

//! Streams that read nothing, in rooms in which others send and read.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use grpcchatter_proto::v1::{ResumePoint, subscribe_response::Event as StreamEvent};
use tokio::time::{sleep, timeout};

use super::DISTURBANCE;
use crate::{
    client::{Member, Subscription, Web},
    round::{Round, WAIT_TIMEOUT},
};

/// The number of streams that read nothing.
const STOPPED: usize = 200;

/// The same in the long form; enough streams that the memory that they share is negligible per stream.
const MANY_STOPPED: usize = 800;

/// The number of streams that resume reading at the end.
const RESUMED: usize = 10;

/// The number of messages in each room during a measurement of the long form.
const MESSAGES: i64 = 50_000;

/// The most memory that a stopped stream may cost the server, in bytes.
const MAX_COST: u64 = 256 * 1024;

/// The most by which the p99 of the others' deliveries may grow, as a factor.
const MAX_SLOWDOWN: f64 = 1.2;

/// A p99 below this is never a violation: the scheduler alone can cause it.
const P99_FLOOR: Duration = Duration::from_millis(50);

/// Opens streams that read nothing, to use up memory. The other clients must be served meanwhile.
pub(super) async fn use_memory(round: &mut Round) -> Result<()> {
    let _stopped = open(round, STOPPED).await?;
    sleep(DISTURBANCE).await;
    round.wait_for_recovery().await
}

/// Opens streams that read nothing, and measures their cost in memory and in the others' delays. At the end some resume
/// reading, and must see no gap.
pub(super) async fn stop_reading(round: &mut Round, long: bool) -> Result<()> {
    let messages = if long { MESSAGES } else { 0 };
    let before = measure(round, messages).await?;
    let memory = round.server.memory("RssAnon")?;
    let stopped = open(round, if long { MANY_STOPPED } else { STOPPED }).await?;
    let meanwhile = measure(round, messages).await?;
    let cost = round.server.memory("RssAnon")?.saturating_sub(memory) / stopped.len() as u64;
    round.outcome.maximum("KiB for a stopped stream", cost as f64 / 1024.0);
    round.outcome.maximum("ms p99 before", before.as_secs_f64() * 1e3);
    round.outcome.maximum("ms p99 meanwhile", meanwhile.as_secs_f64() * 1e3);
    if cost > MAX_COST {
        round.violated(format!("a stream that reads nothing costs {cost} bytes"));
    }
    // The short form only reports the delays: its machine may be busy.
    if long && meanwhile > before.mul_f64(MAX_SLOWDOWN).max(P99_FLOOR) {
        round.violated(format!("the others' deliveries took {meanwhile:?}, and {before:?} before"));
    }
    for (nth, stream) in stopped.into_iter().take(RESUMED).enumerate() {
        let member = round.members[nth % round.members.len()].clone();
        let read_on = timeout(WAIT_TIMEOUT, read_on(round, &member, stream)).await;
        if let Err(error) = read_on.context("a stopped stream never reaches the end").flatten() {
            round.violated(format!("{error:#}"));
        }
    }
    Ok(())
}

async fn open(round: &Round, count: usize) -> Result<Vec<Web>> {
    let mut stopped = Vec::new();
    for nth in 0..count {
        let member = &round.members[nth % round.members.len()];
        stopped.push(Web::open_from_start(round.server.address(), &member.token).await?);
    }
    Ok(stopped)
}

/// Returns the p99 of deliveries over at least 2 s and this many messages in each room.
async fn measure(round: &Round, messages: i64) -> Result<Duration> {
    round.record.start_measuring();
    sleep(2 * DISTURBANCE).await;
    round.wait_for_messages(messages).await?;
    round.record.take_delivery_p99().context("nothing was delivered")
}

/// Resumes reading up to the message that is the newest now, on a new stream where the server has ended the old one.
async fn read_on(round: &Round, member: &Member, stopped: Web) -> Result<()> {
    let goal = round.record.newest_acknowledged(member.room);
    let mut last = ResumePoint::default();
    let mut stream = Subscription::Web(Box::new(stopped));
    while last.seq < goal {
        match stream.next().await.map(|response| response.event) {
            Ok(Some(StreamEvent::Subscribed(subscribed))) => {
                ensure!(!subscribed.reset, "a stopped stream was reset");
            }
            Ok(Some(StreamEvent::Message(message))) => {
                let (seq, before) = (message.seq, last.seq);
                ensure!(seq == before + 1, "a stopped stream received {seq} after {before}");
                last = ResumePoint { seq, message_id: message.message_id };
            }
            Ok(_) => {}
            Err(_) => {
                stream =
                    Subscription::open(round.server.address(), None, &member.token, last.clone()).await?;
            }
        }
    }
    Ok(())
}

//! Streams that read nothing, in rooms in which others go on.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use grpcchatter_proto::v1::{ResumePoint, subscribe_response::Event as Told};
use tokio::time::{sleep, timeout};

use super::strikes::SPELL;
use crate::{
    client::{Seat, Subscription, Web},
    round::{PATIENCE, Round},
};

/// So many streams read nothing.
const STOPPED: usize = 200;

/// The same in the long form: so many that what the server keeps for all who are behind, pages and the newest messages, is a
/// small part of what one costs.
const MANY_STOPPED: usize = 800;

/// So many of them read on in the end.
const READ_ON: usize = 10;

/// So many messages are said in each room meanwhile, in the long form.
const SAID: i64 = 50_000;

/// What one of them may cost the server, in bytes.
const COST: u64 = 256 * 1024;

/// The others' deliveries may take so many times as long as before.
const SLOWER: f64 = 1.2;

/// Below this it is a matter of who gets the processor next, not of streams that do not read.
const FLOOR: Duration = Duration::from_millis(50);

/// Opens streams that read nothing, which cost memory. The others must go on meanwhile.
pub(super) async fn want_memory(round: &mut Round) -> Result<()> {
    let _stopped = open(round, STOPPED).await?;
    sleep(SPELL).await;
    round.healed().await
}

/// The same, and measures what that costs the server and the others. In the end some read on, without a gap.
pub(super) async fn stop_reading(round: &mut Round, long: bool) -> Result<()> {
    let before = measure(round, if long { SAID } else { 0 }).await?;
    let memory = round.server.memory()?;
    let stopped = open(round, if long { MANY_STOPPED } else { STOPPED }).await?;
    let meanwhile = measure(round, if long { SAID } else { 0 }).await?;
    let cost = round.server.memory()?.saturating_sub(memory) / stopped.len() as u64;
    round.outcome.at_most("KiB for a stopped stream", cost as f64 / 1024.0);
    round.outcome.at_most("ms p99 before", before.as_secs_f64() * 1e3);
    round.outcome.at_most("ms p99 meanwhile", meanwhile.as_secs_f64() * 1e3);
    if cost > COST {
        round.blame(format!("a stream that reads nothing costs {cost} bytes"));
    }
    // How fast others are is told in the short form, and judged where the machine is known to be quiet.
    if long && meanwhile > before.mul_f64(SLOWER).max(FLOOR) {
        round.blame(format!("the others' deliveries took {meanwhile:?}, and {before:?} before"));
    }
    for (nth, stream) in stopped.into_iter().take(READ_ON).enumerate() {
        let seat = round.seats[nth % round.seats.len()].clone();
        let read_on = timeout(PATIENCE, read_on(round, &seat, stream)).await;
        if let Err(error) = read_on.context("a stopped stream never reaches the end").flatten() {
            round.blame(format!("{error:#}"));
        }
    }
    Ok(())
}

async fn open(round: &Round, count: usize) -> Result<Vec<Web>> {
    let mut stopped = Vec::new();
    for nth in 0..count {
        let seat = &round.seats[nth % round.seats.len()];
        stopped.push(Web::open_after_nothing(round.server.address(), &seat.token).await?);
    }
    Ok(stopped)
}

/// Returns how long deliveries take, all but a hundredth of them: while so much is said, or for a while.
async fn measure(round: &Round, said: i64) -> Result<Duration> {
    round.record.measure();
    sleep(2 * SPELL).await;
    round.said(said).await?;
    let (count, delay) = round.record.measured();
    ensure!(count > 0, "nothing was delivered");
    Ok(delay)
}

/// Reads on, where need be on a stream of its own, up to what is the newest now.
async fn read_on(round: &Round, seat: &Seat, stopped: Web) -> Result<()> {
    let goal = round.record.newest(seat.room);
    let mut last = ResumePoint::default();
    let mut stream = Subscription::Web(Box::new(stopped));
    while last.seq < goal {
        match stream.next().await.map(|told| told.event) {
            Ok(Some(Told::Subscribed(subscribed))) => {
                ensure!(!subscribed.reset, "a stopped stream was reset");
            }
            Ok(Some(Told::Message(message))) => {
                let (seq, before) = (message.seq, last.seq);
                ensure!(seq == before + 1, "a stopped stream was told {seq} after {before}");
                last = ResumePoint { seq, message_id: message.message_id };
            }
            Ok(_) => {}
            Err(_) => {
                stream = Subscription::open(round.server.address(), None, &seat.token, last.clone()).await?;
            }
        }
    }
    Ok(())
}

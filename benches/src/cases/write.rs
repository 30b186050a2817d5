//! What the log takes: messages from Chat to the answer that says they are stored, in ten rooms.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Scale;
use crate::{
    load::{
        grpc::Connection,
        talker::{Talker, UNANSWERED},
    },
    process::Process,
    quantiles::{Quantiles, median},
    report::Row,
    server::Gateway,
};

/// A thousand messages a second, one after the other over all senders.
const PACE: Duration = Duration::from_millis(1);
const WARM_UP: Duration = Duration::from_secs(1);

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let server = gateway.start()?;
    let (mut rates, mut costs, mut middles, mut tails) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        let (middle, tail) = paced(&server, gateway, scale.round).await?;
        middles.push(middle);
        tails.push(tail);
        let (rate, cost) = flat(&server, gateway, scale.round).await?;
        rates.push(rate);
        costs.push(cost);
    }
    server.stop()?;
    Ok(vec![
        Row::new("10 rooms, 20 senders: messages stored and answered a second", median(rates))
            .at_least(20e3, 50e3),
        Row::new("10 rooms, 20 senders: CPU µs a message", median(costs)),
        Row::new("10 rooms, 1,000 msg/s: p50 of the answer, ms", median(middles)).at_most(1.5, 0.7),
        Row::new("10 rooms, 1,000 msg/s: p99 of the answer, ms", median(tails)).at_most(5.0, 2.0),
    ])
}

/// Returns the messages a second, and what each cost the server, with every sender's unanswered messages at their most.
async fn flat(server: &Process, gateway: &Gateway, time: Duration) -> Result<(f64, f64)> {
    let connections = [Connection::open(server.address).await?, Connection::open(server.address).await?];
    let mut talkers = open(&connections, &gateway.senders).await?;
    press(&mut talkers, WARM_UP).await?;
    let answered = |talkers: &[Talker]| talkers.iter().map(Talker::answered).sum::<u64>();
    let (cpu, before, began) = (server.cpu()?, answered(&talkers), Instant::now());
    press(&mut talkers, time).await?;
    let messages = (answered(&talkers) - before) as f64;
    Ok((messages / began.elapsed().as_secs_f64(), (server.cpu()? - cpu).total() * 1e6 / messages))
}

async fn press(talkers: &mut [Talker], time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    try_join_all(talkers.iter_mut().map(async |talker| {
        while Instant::now() < end {
            talker.send(UNANSWERED - talker.waiting())?;
            talker.until_waiting(UNANSWERED - 1).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

/// Returns the p50 and p99 of the time to the answer, in milliseconds.
async fn paced(server: &Process, gateway: &Gateway, time: Duration) -> Result<(f64, f64)> {
    let connections = [Connection::open(server.address).await?];
    // One sender in each room.
    let mut talkers = open(&connections, &gateway.senders[..gateway.senders.len() / 2]).await?;
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace(&mut talkers, &mut ticks, WARM_UP).await?;
    talkers.iter().for_each(|talker| drop(talker.take_latencies()));
    pace(&mut talkers, &mut ticks, time).await?;
    let mut latencies = Quantiles::default();
    talkers.iter().for_each(|talker| latencies.absorb(talker.take_latencies()));
    Ok((latencies.at(0.5), latencies.at(0.99)))
}

/// Lets the senders take turns, and returns when all has been answered.
async fn pace(talkers: &mut [Talker], ticks: &mut Interval, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    'sending: loop {
        for talker in &mut *talkers {
            if ticks.tick().await > end {
                break 'sending;
            }
            talker.until_waiting(UNANSWERED - 1).await?;
            talker.send(1)?;
        }
    }
    for talker in talkers {
        talker.until_waiting(0).await?;
    }
    Ok(())
}

/// Opens a Chat for each token, by turns on the connections.
async fn open(connections: &[Connection], tokens: &[String]) -> Result<Vec<Talker>> {
    let pairs = tokens.iter().zip(connections.iter().cycle());
    try_join_all(pairs.map(|(token, connection)| Talker::open(connection, token))).await
}

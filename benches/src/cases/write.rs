//! The throughput and latency of messages: from the send on Chat to the answer, which means stored, in ten rooms.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Scale;
use crate::{
    latencies::{Latencies, median},
    load::{
        chat_sender::{ChatSender, UNANSWERED},
        grpc::Connection,
    },
    process::Process,
    report::Row,
    server::Gateway,
};

/// A thousand messages a second, from all senders in turn.
const PACE: Duration = Duration::from_millis(1);
const WARM_UP: Duration = Duration::from_secs(1);

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let server = gateway.start().await?;
    let (mut rates, mut costs, mut middles, mut tails) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        let (middle, tail) = paced(&server, gateway, scale.round).await?;
        middles.push(middle);
        tails.push(tail);
        let (rate, cost) = saturated(&server, gateway, scale.round).await?;
        rates.push(rate);
        costs.push(cost);
    }
    server.stop().await?;
    Ok(vec![
        Row::new("10 rooms, 20 senders: messages stored and answered a second", median(rates))
            .at_least(20e3, 50e3),
        Row::new("10 rooms, 20 senders: CPU µs a message", median(costs)),
        Row::new("10 rooms, 1,000 msg/s: p50 of the answer, ms", median(middles)).at_most(1.5, 0.7),
        Row::new("10 rooms, 1,000 msg/s: p99 of the answer, ms", median(tails)).at_most(5.0, 2.0),
    ])
}

/// Returns the messages a second and the CPU time of each, with the most unanswered messages on every stream.
async fn saturated(server: &Process, gateway: &Gateway, time: Duration) -> Result<(f64, f64)> {
    let connections = [Connection::open(server.address).await?, Connection::open(server.address).await?];
    let mut senders = open(&connections, &gateway.senders).await?;
    press(&mut senders, WARM_UP).await?;
    let answered = |senders: &[ChatSender]| senders.iter().map(ChatSender::answered).sum::<u64>();
    let (cpu, before, began) = (server.cpu()?, answered(&senders), Instant::now());
    press(&mut senders, time).await?;
    let messages = (answered(&senders) - before) as f64;
    Ok((messages / began.elapsed().as_secs_f64(), (server.cpu()? - cpu).total() * 1e6 / messages))
}

async fn press(senders: &mut [ChatSender], time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    try_join_all(senders.iter_mut().map(async |sender| {
        while Instant::now() < end {
            sender.send(UNANSWERED - sender.unanswered())?;
            sender.wait_for_unanswered(UNANSWERED - 1).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

/// Returns the p50 and p99 of the time to the answer at a thousand messages a second, in milliseconds.
async fn paced(server: &Process, gateway: &Gateway, time: Duration) -> Result<(f64, f64)> {
    let connections = [Connection::open(server.address).await?];
    // One sender in each room.
    let mut senders = open(&connections, &gateway.senders[..gateway.senders.len() / 2]).await?;
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace(&mut senders, &mut ticks, WARM_UP).await?;
    senders.iter().for_each(|sender| drop(sender.take_latencies()));
    pace(&mut senders, &mut ticks, time).await?;
    let mut latencies = Latencies::default();
    senders.iter().for_each(|sender| latencies.append(sender.take_latencies()));
    Ok((latencies.quantile(0.5), latencies.quantile(0.99)))
}

/// Sends from each sender in turn, and returns when all messages are answered.
async fn pace(senders: &mut [ChatSender], ticks: &mut Interval, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    'sending: loop {
        for sender in &mut *senders {
            if ticks.tick().await > end {
                break 'sending;
            }
            sender.wait_for_unanswered(UNANSWERED - 1).await?;
            sender.send(1)?;
        }
    }
    for sender in senders {
        sender.wait_for_unanswered(0).await?;
    }
    Ok(())
}

/// Opens a Chat stream for each token, on the connections in turn.
async fn open(connections: &[Connection], tokens: &[String]) -> Result<Vec<ChatSender>> {
    let pairs = tokens.iter().zip(connections.iter().cycle());
    try_join_all(pairs.map(|(token, connection)| ChatSender::open(connection, token))).await
}

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
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    let (mut paced_costs, mut middles, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        let paced = paced(&server, gateway, scale.round).await?;
        paced_costs.push(paced.micros);
        middles.push(paced.p50);
        tails.push(paced.p99);
        let (rate, cost) = saturated(&server, gateway, scale.round).await?;
        rates.push(rate);
        costs.push(cost);
    }
    server.stop().await?;
    Ok(vec![
        Row::new("10 rooms, 20 senders: messages stored and answered a second", median(rates))
            .at_least(130e3, 200e3),
        Row::new("10 rooms, 20 senders: CPU µs a message", median(costs)),
        Row::new("10 rooms, 20 senders, 1,000 msg/s: CPU µs a message", median(paced_costs))
            .at_most(250.0, 180.0),
        Row::new("10 rooms, 20 senders, 1,000 msg/s: p50 of the answer, ms", median(middles))
            .at_most(0.7, 0.4),
        Row::new("10 rooms, 20 senders, 1,000 msg/s: p99 of the answer, ms", median(tails)).at_most(2.5, 1.5),
    ])
}

/// Returns the messages a second and the CPU time of each, with the most unanswered messages on every stream.
async fn saturated(server: &Process, gateway: &Gateway, time: Duration) -> Result<(f64, f64)> {
    let connections = [Connection::open(server.address).await?, Connection::open(server.address).await?];
    let mut senders = open(&connections, &gateway.senders).await?;
    press(&mut senders, WARM_UP).await?;
    let (cpu, before, began) = (server.cpu()?, answered(&senders), Instant::now());
    press(&mut senders, time).await?;
    let messages = (answered(&senders) - before) as f64;
    Ok((messages / began.elapsed().as_secs_f64(), (server.cpu()? - cpu).total() * 1e6 / messages))
}

fn answered(senders: &[ChatSender]) -> u64 {
    senders.iter().map(ChatSender::answered).sum()
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

/// What a message costs at a thousand messages a second.
struct Paced {
    /// The server's CPU time, in microseconds.
    micros: f64,
    /// Quantiles of the time to the answer, in milliseconds.
    p50: f64,
    p99: f64,
}

async fn paced(server: &Process, gateway: &Gateway, time: Duration) -> Result<Paced> {
    let connections = [Connection::open(server.address).await?];
    let mut senders = open(&connections, &gateway.senders).await?;
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace(&mut senders, &mut ticks, WARM_UP).await?;
    senders.iter().for_each(|sender| drop(sender.take_latencies()));
    let (cpu, before) = (server.cpu()?, answered(&senders));
    pace(&mut senders, &mut ticks, time).await?;
    let micros = (server.cpu()? - cpu).total() * 1e6 / (answered(&senders) - before) as f64;
    let mut latencies = Latencies::default();
    senders.iter().for_each(|sender| latencies.append(sender.take_latencies()));
    Ok(Paced { micros, p50: latencies.quantile(0.5), p99: latencies.quantile(0.99) })
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

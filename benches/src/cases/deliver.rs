//! The cost of a delivery: one room, a thousand streams on ten connections, one sender.
//!
//! Paced, each message wakes each stream; flat out, the server may put many messages into one frame. Rounds of the plain
//! server and of the gateway alternate, so that both are measured under similar conditions. Two more figures help to explain
//! the cost: the kernel's part of it, and the cost of messages without subscribers, in which the gateway alone has a commit.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Scale;
use crate::{
    baseline::Baseline,
    latencies::median,
    load::{
        chat_sender::{ChatSender, UNANSWERED},
        grpc::Connection,
        subscribers::Subscribers,
    },
    process::Process,
    report::Row,
    server::Gateway,
};

const CONNECTIONS: u32 = 10;
const STREAMS_EACH: u32 = 100;
const PACE: Duration = Duration::from_millis(5);
/// The start of a round is not measured: rooms are loaded and buffers grow.
const WARM_UP: Duration = Duration::from_millis(500);
/// Flat out, only every 20th stream measures latencies: on all, that would cost the client more than the deliveries.
const SAMPLE_EVERY: usize = 20;

#[derive(Clone, Copy, Debug)]
enum Load {
    /// 200 messages a second.
    Paced,
    /// As fast as possible, with at most 64 messages that are unanswered or missing on a stream.
    FlatOut,
}

#[derive(Debug)]
struct Cost {
    /// The server's CPU time of a delivery, in microseconds.
    micros: f64,
    /// The kernel's part of it.
    kernel: f64,
    /// Deliveries a second.
    rate: f64,
    /// The p99 of the latency, in milliseconds.
    p99: f64,
}

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let server = gateway.start().await?;
    let baseline = Baseline::Broadcast.start().await?;
    let mut rows = Vec::new();
    for load in [Load::Paced, Load::FlatOut] {
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds {
            plain.push(round(&baseline, "", load, scale).await?);
            ours.push(round(&server, &gateway.audience, load, scale).await?);
        }
        rows.extend(load.rows(&ours, &plain));
    }
    let ours = without_subscribers(&server, &gateway.audience, scale).await?;
    let plain = without_subscribers(&baseline, "", scale).await?;
    let (floor, goal) = if gateway.is_postgres() { (220.0, 150.0) } else { (350.0, 280.0) };
    rows.push(
        Row::new("200 msg/s without subscribers: CPU µs a message", ours).beside(plain).at_most(floor, goal),
    );
    server.stop().await?;
    Ok(rows)
}

impl Load {
    fn rows(self, ours: &[Cost], plain: &[Cost]) -> Vec<Row> {
        let median_of = |costs: &[Cost], of: fn(&Cost) -> f64| median(costs.iter().map(of).collect());
        let row = |name: &str, of: fn(&Cost) -> f64| {
            Row::new(format!("{} {name}", self.name()), median_of(ours, of)).beside(median_of(plain, of))
        };
        let ratios = ours.iter().zip(plain).map(|(ours, plain)| ours.micros / plain.micros).collect();
        let ratio = Row::new(format!("{} CPU, times the plain server's", self.name()), median(ratios));
        let cpu = row("CPU µs a delivery", |cost| cost.micros);
        let kernel = row("the kernel's part of it", |cost| cost.kernel);
        let p99 = row("p99 of delivery, ms", |cost| cost.p99);
        match self {
            Self::Paced => vec![cpu.at_most(1.2, 0.6), ratio.at_most(0.24, 0.15), kernel, p99],
            Self::FlatOut => {
                let rate = row("deliveries a second", |cost| cost.rate);
                vec![cpu.at_most(0.25, 0.13), ratio.at_most(0.4, 0.32), kernel, rate, p99]
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Paced => "1 room × 1,000, 200 msg/s:",
            Self::FlatOut => "1 room × 1,000, flat out:",
        }
    }
}

async fn round(server: &Process, token: &str, load: Load, scale: Scale) -> Result<Cost> {
    let sample_every = if matches!(load, Load::FlatOut) { SAMPLE_EVERY } else { 1 };
    let mut subscribers =
        Subscribers::open(server.address, &[token], CONNECTIONS, STREAMS_EACH, sample_every).await?;
    let connection = Connection::open(server.address).await?;
    let mut sender = ChatSender::open(&connection, token).await?;
    let mut sent = 0;
    offer(load, WARM_UP, &mut sent, &mut sender, &mut subscribers).await?;
    subscribers.take_latencies();
    let (cpu, deliveries, began) = (server.cpu()?, subscribers.deliveries(), Instant::now());
    offer(load, scale.round, &mut sent, &mut sender, &mut subscribers).await?;
    let deliveries = (subscribers.deliveries() - deliveries) as f64;
    let cpu = server.cpu()? - cpu;
    Ok(Cost {
        micros: cpu.total() * 1e6 / deliveries,
        kernel: cpu.system * 1e6 / deliveries,
        rate: deliveries / began.elapsed().as_secs_f64(),
        p99: subscribers.take_latencies().quantile(0.99),
    })
}

/// Returns the CPU time of a message in a room without subscribers, at 200 messages a second, in microseconds.
async fn without_subscribers(server: &Process, token: &str, scale: Scale) -> Result<f64> {
    let connection = Connection::open(server.address).await?;
    let mut sender = ChatSender::open(&connection, token).await?;
    let (cpu, end) = (server.cpu()?, Instant::now() + scale.round);
    let mut ticks = interval(PACE);
    let mut sent = 0;
    while ticks.tick().await < end {
        sender.send(1)?;
        sender.wait_for_unanswered(0).await?;
        sent += 1;
    }
    Ok((server.cpu()? - cpu).total() * 1e6 / f64::from(sent))
}

/// Sends for some time, and returns when every stream has received all messages.
async fn offer(
    load: Load,
    time: Duration,
    sent: &mut u64,
    sender: &mut ChatSender,
    subscribers: &mut Subscribers,
) -> Result<()> {
    let end = Instant::now() + time;
    match load {
        Load::Paced => {
            let mut ticks = interval(PACE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            while ticks.tick().await < end {
                sender.send(1)?;
                *sent += 1;
                sender.wait_for_unanswered(UNANSWERED - 1).await?;
            }
        }
        Load::FlatOut => {
            while Instant::now() < end {
                let under_way = *sent - subscribers.complete();
                let free = UNANSWERED.saturating_sub(sender.unanswered().max(usize::try_from(under_way)?));
                sender.send(free)?;
                *sent += free as u64;
                // The next message may be sent once one more is complete, and one more is answered.
                let full = UNANSWERED as u64;
                if *sent - subscribers.complete() >= full {
                    subscribers.wait_beyond(*sent - full).await?;
                }
                sender.wait_for_unanswered(UNANSWERED - 1).await?;
            }
        }
    }
    if *sent > subscribers.complete() {
        subscribers.wait_beyond(*sent - 1).await?;
    }
    Ok(())
}

//! What one delivery costs the server: one room, a thousand streams over ten connections, one sender.
//!
//! Paced, every message wakes every stream; flat out, the server may put many messages into one frame. The plain
//! server and the gateway take turns, so that both meet the same moments of the machine. The kernel's part of the cost, and
//! what messages cost where nobody listens, say where to look: a commit for every message is the gateway's alone.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Scale;
use crate::{
    load::{
        grpc::Connection,
        swarm::Swarm,
        talker::{Talker, UNANSWERED},
    },
    peer::Peer,
    process::Process,
    quantiles::median,
    report::Row,
    server::Gateway,
};

const CONNECTIONS: u32 = 10;
const STREAMS_EACH: u32 = 100;
const PACE: Duration = Duration::from_millis(5);
/// The first messages of a round are not measured: rooms are loaded, buffers grow.
const WARM_UP: Duration = Duration::from_millis(500);
/// Flat out, taking the latency of every delivery would load the client more than the deliveries do.
const SAMPLE: usize = 20;

#[derive(Clone, Copy, Debug)]
enum Load {
    /// 200 messages a second.
    Paced,
    /// 64 messages that not every stream has yet.
    Flat,
}

#[derive(Debug)]
struct Cost {
    /// CPU time of the server a delivery, in microseconds.
    micros: f64,
    /// The kernel's part of it.
    kernel: f64,
    /// Deliveries a second.
    rate: f64,
    /// The latency that 99 of 100 deliveries do not exceed, in milliseconds.
    p99: f64,
}

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let server = gateway.start()?;
    let peer = Peer::Broadcast.start()?;
    let mut rows = Vec::new();
    for load in [Load::Paced, Load::Flat] {
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds {
            plain.push(round(&peer, "", load, scale).await?);
            ours.push(round(&server, &gateway.audience, load, scale).await?);
        }
        rows.extend(load.rows(&ours, &plain));
    }
    let (ours, plain) = (unheard(&server, &gateway.audience, scale).await?, unheard(&peer, "", scale).await?);
    rows.push(Row::new("200 msg/s where nobody listens: CPU µs a message / 1,000", ours).beside(plain));
    server.stop()?;
    Ok(rows)
}

impl Load {
    fn rows(self, ours: &[Cost], plain: &[Cost]) -> Vec<Row> {
        let middle = |costs: &[Cost], of: fn(&Cost) -> f64| median(costs.iter().map(of).collect());
        let row = |name: &str, of: fn(&Cost) -> f64| {
            Row::new(format!("{} {name}", self.name()), middle(ours, of)).beside(middle(plain, of))
        };
        let ratios = ours.iter().zip(plain).map(|(ours, plain)| ours.micros / plain.micros).collect();
        let ratio = Row::new(format!("{} CPU, times the plain server's", self.name()), median(ratios));
        let cpu = row("CPU µs a delivery", |cost| cost.micros);
        let kernel = row("the kernel's part of it", |cost| cost.kernel);
        let p99 = row("p99 of delivery, ms", |cost| cost.p99);
        match self {
            Self::Paced => vec![cpu.at_most(1.2, 0.6), ratio.at_most(0.24, 0.12), kernel, p99],
            Self::Flat => {
                let rate = row("deliveries a second", |cost| cost.rate);
                vec![cpu.at_most(0.25, 0.13), ratio.at_most(0.6, 0.32), kernel, rate, p99]
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Paced => "1 room × 1,000, 200 msg/s:",
            Self::Flat => "1 room × 1,000, flat out:",
        }
    }
}

async fn round(server: &Process, token: &str, load: Load, scale: Scale) -> Result<Cost> {
    let every = if matches!(load, Load::Flat) { SAMPLE } else { 1 };
    let mut swarm = Swarm::open(server.address, token, CONNECTIONS, STREAMS_EACH, every).await?;
    let connection = Connection::open(server.address).await?;
    let mut talker = Talker::open(&connection, token).await?;
    let mut sent = 0;
    offer(load, WARM_UP, &mut sent, &mut talker, &mut swarm).await?;
    swarm.take_latencies();
    let (cpu, deliveries, began) = (server.cpu()?, swarm.deliveries(), Instant::now());
    offer(load, scale.round, &mut sent, &mut talker, &mut swarm).await?;
    let deliveries = (swarm.deliveries() - deliveries) as f64;
    let cpu = server.cpu()? - cpu;
    Ok(Cost {
        micros: cpu.total() * 1e6 / deliveries,
        kernel: cpu.system * 1e6 / deliveries,
        rate: deliveries / began.elapsed().as_secs_f64(),
        p99: swarm.take_latencies().at(0.99),
    })
}

/// Returns what 200 messages a second cost in a room without streams, as if each were delivered a thousand times.
async fn unheard(server: &Process, token: &str, scale: Scale) -> Result<f64> {
    let connection = Connection::open(server.address).await?;
    let mut talker = Talker::open(&connection, token).await?;
    let (cpu, end) = (server.cpu()?, Instant::now() + scale.round);
    let mut ticks = interval(PACE);
    let mut sent = 0;
    while ticks.tick().await < end {
        talker.send(1)?;
        talker.until_waiting(0).await?;
        sent += 1;
    }
    Ok((server.cpu()? - cpu).total() * 1e6 / f64::from(sent * CONNECTIONS * STREAMS_EACH))
}

/// Sends for a while, and returns when every stream has all.
async fn offer(
    load: Load,
    time: Duration,
    sent: &mut u64,
    talker: &mut Talker,
    swarm: &mut Swarm,
) -> Result<()> {
    let end = Instant::now() + time;
    match load {
        Load::Paced => {
            let mut ticks = interval(PACE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            while ticks.tick().await < end {
                talker.send(1)?;
                *sent += 1;
                talker.until_waiting(UNANSWERED - 1).await?;
            }
        }
        Load::Flat => {
            while Instant::now() < end {
                let under_way = *sent - swarm.complete();
                let free = UNANSWERED.saturating_sub(talker.waiting().max(usize::try_from(under_way)?));
                talker.send(free)?;
                *sent += free as u64;
                // One more delivered to all, and one more answered, is room for one more.
                let full = UNANSWERED as u64;
                if *sent - swarm.complete() >= full {
                    swarm.beyond(*sent - full).await?;
                }
                talker.until_waiting(UNANSWERED - 1).await?;
            }
        }
    }
    if *sent > swarm.complete() {
        swarm.beyond(*sent - 1).await?;
    }
    Ok(())
}

//! One room: the cost of a delivery and of opening a stream, against the number of its members, each with a stream.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{PACE, ROOM_OF_MEMBERS, Server, Setup};
use crate::{
    curve::Curve,
    latencies::median,
    load::{
        chat_sender::{ChatSender, UNANSWERED},
        reader::Reader,
        subscribers::Subscribers,
    },
};

const SIZES: [u32; 4] = [10, 100, 1_000, 10_000];
const STREAMS_EACH: u32 = 100;
/// The most deliveries a second; more members get fewer messages.
const MAX_DELIVERIES: u32 = 200_000;
/// Fewer members arrive in less time than the kernel's accounting resolves.
const LEAST_TO_ARRIVE: u32 = 100;
/// No latency is measured here.
const SAMPLE_EVERY: usize = usize::MAX;
const WARM_UP: Duration = Duration::from_millis(500);

pub(super) async fn run(setup: &mut Setup<'_>) -> Result<Vec<Curve>> {
    let mut deliver = Curve::new("members-deliver", "CPU µs a delivery", "members with a stream");
    let mut open = Curve::new("members-open", "CPU µs to open and close a stream", "members with a stream");
    let mut arrive =
        Curve::new("members-arrive", "CPU µs a stream while all members arrive", "members with a stream");
    for members in setup.scale.sizes(&SIZES) {
        // One more opens and closes streams.
        setup.population.grow(members + 1).await?;
        setup.population.join(ROOM_OF_MEMBERS, members + 1).await?;
        let token = |member| setup.population.chat_token(member, ROOM_OF_MEMBERS);
        let tokens: Vec<_> = (0..members).map(token).collect();
        let server = setup.start().await?;
        let (connection, last) = (server.connect().await?, token(members));
        // What exists once is opened first: the room, connections to the database.
        Reader::open(&connection, &last, None).await?.next().await?;
        let (each, address, cpu) = (members.min(STREAMS_EACH), server.process.address, server.cpu()?);
        let mut streams = Subscribers::open(address, &tokens, members / each, each, SAMPLE_EVERY).await?;
        if members >= LEAST_TO_ARRIVE {
            arrive.add(members, (server.cpu()? - cpu) * 1e6 / f64::from(members));
        }
        deliver.add(members, delivery(&server, &tokens[1], members, &mut streams).await?);
        let cost = server.cost(async |_| {
            // Its first event arrives once it is open.
            Reader::open(&connection, &last, None).await?.next().await?;
            Ok(())
        });
        open.add(members, cost.await?);
        drop(streams);
        server.process.stop().await?;
    }
    Ok(vec![deliver, open, arrive])
}

/// Returns the CPU time of a delivery, in µs.
async fn delivery(server: &Server, token: &str, members: u32, streams: &mut Subscribers) -> Result<f64> {
    let connection = server.connect().await?;
    let mut sender = ChatSender::open(&connection, token).await?;
    let pace = PACE.max(Duration::from_secs(1) * members / MAX_DELIVERIES);
    let (mut sent, mut costs) = (0, Vec::new());
    offer(pace, WARM_UP, &mut sent, &mut sender, streams).await?;
    for _ in 0..server.scale.rounds {
        let (cpu, deliveries) = (server.cpu()?, streams.deliveries());
        offer(pace, server.scale.round, &mut sent, &mut sender, streams).await?;
        costs.push((server.cpu()? - cpu) * 1e6 / (streams.deliveries() - deliveries) as f64);
    }
    Ok(median(costs))
}

/// Sends for some time, and returns when every stream has received all messages.
async fn offer(
    pace: Duration,
    time: Duration,
    sent: &mut u64,
    sender: &mut ChatSender,
    streams: &mut Subscribers,
) -> Result<()> {
    let (mut ticks, end) = (interval(pace), Instant::now() + time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while ticks.tick().await < end {
        sender.send(1)?;
        *sent += 1;
        sender.wait_for_unanswered(UNANSWERED - 1).await?;
    }
    if *sent > streams.complete() {
        streams.wait_beyond(*sent - 1).await?;
    }
    Ok(())
}

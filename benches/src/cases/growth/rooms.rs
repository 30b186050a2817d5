//! Many rooms, each with a stream: the cost of a message in one of them, and the CPU time and memory of an idle room.
//!
//! The gateway asks the database about each live room once a second. A message is measured at a fixed rate, and what the rooms
//! cost without it is subtracted.

use anyhow::Result;
use futures_util::future::try_join_all;

use super::{PACE, Setup, scattered, send};
use crate::{cases::idle::stable_memory, curve::Curve, load::subscribers::Subscribers};

const SIZES: [u32; 5] = [1, 10, 100, 1_000, 10_000];
const STREAMS_EACH: u32 = 100;
/// No latency is measured here.
const SAMPLE_EVERY: usize = usize::MAX;
/// Messages at once, before the measurement.
const AT_ONCE: usize = 50;
/// The cost of fewer rooms is lost in that of everything else.
const LEAST_IDLE: u32 = 100;

pub(super) async fn run(setup: &Setup<'_>) -> Result<Vec<Curve>> {
    let mut message =
        Curve::new("rooms-message", "CPU µs a message, without idle rooms", "rooms with a stream");
    let mut idle = Curve::new("rooms-idle", "CPU µs an idle room a second", "rooms with a stream");
    let mut memory = Curve::new("rooms-memory", "KB a room and its stream", "rooms with a stream");
    for rooms in setup.scale.sizes(&SIZES) {
        let tokens: Vec<_> = (0..rooms).map(|room| setup.population.chat_token(room, room)).collect();
        let server = setup.start().await?;
        let connection = server.connect().await?;
        let before = stable_memory(&server.process).await?;
        let each = rooms.min(STREAMS_EACH);
        let _streams =
            Subscribers::open(server.process.address, &tokens, rooms / each, each, SAMPLE_EVERY).await?;
        if rooms >= LEAST_IDLE {
            let after = stable_memory(&server.process).await?;
            memory.add(rooms, (after - before) / f64::from(rooms));
        }
        // The first message of a room takes another way than those after it.
        for some in tokens.chunks(AT_ONCE) {
            try_join_all(some.iter().map(|token| send(&connection, token))).await?;
        }
        let waiting = server.idle_cost().await?;
        if rooms >= LEAST_IDLE {
            idle.add(rooms, waiting / f64::from(rooms));
        }
        let cost =
            server.paced_cost(async |nth| send(&connection, &tokens[scattered(nth, rooms) as usize]).await);
        message.add(rooms, cost.await? - waiting * PACE.as_secs_f64());
        server.process.stop().await?;
    }
    Ok(vec![message, idle, memory])
}

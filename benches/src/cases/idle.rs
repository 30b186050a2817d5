//! The memory of an idle stream, on shared connections and on connections of their own.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::{
    baseline::Baseline, load::subscribers::Subscribers, process::Process, report::Row, server::Gateway,
};

const SAMPLE_EVERY: usize = 1;
const INTERVAL: Duration = Duration::from_millis(500);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The memory is stable if it changes by less than this in one interval, in KB.
const STABLE: f64 = 64.0;

pub(super) async fn run(gateway: &Gateway) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (connections, each, floor, goal) in [(100, 100, 3.5, 2.8), (2_000, 1, 22.0, 16.0)] {
        let plain = kilobytes(&Baseline::Broadcast.start().await?, "", connections, each).await?;
        // A new process each time: an old one would reuse freed memory, which would not show.
        let server = gateway.start().await?;
        let ours = kilobytes(&server, &gateway.audience, connections, each).await?;
        server.stop().await?;
        let name = format!("idle, KB a stream: {} over {connections} connections", connections * each);
        rows.push(Row::new(name, ours).beside(plain).at_most(floor, goal));
    }
    Ok(rows)
}

async fn kilobytes(server: &Process, token: &str, connections: u32, each: u32) -> Result<f64> {
    // The first stream allocates what exists once: the room, the pools.
    let _first = Subscribers::open(server.address, &[token], 1, 1, SAMPLE_EVERY).await?;
    let before = stable_memory(server).await?;
    let _streams = Subscribers::open(server.address, &[token], connections, each, SAMPLE_EVERY).await?;
    Ok((stable_memory(server).await? - before) / f64::from(connections * each))
}

/// Returns the resident memory in KB once it is stable, or after [`SETTLE_TIMEOUT`].
pub(super) async fn stable_memory(server: &Process) -> Result<f64> {
    let began = Instant::now();
    let mut before = server.resident()?;
    loop {
        sleep(INTERVAL).await;
        let now = server.resident()?;
        if (now - before).abs() < STABLE || began.elapsed() > SETTLE_TIMEOUT {
            return Ok(now);
        }
        before = now;
    }
}

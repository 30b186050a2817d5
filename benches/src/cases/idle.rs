//! The memory of a stream on which nothing happens, over shared connections and over one each.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::{load::swarm::Swarm, peer::Peer, process::Process, report::Row, server::Gateway};

const EVERY: usize = 1;
const SAMPLE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(10);
/// Memory that moved less than this between two looks, in KB, stands still.
const STILL: f64 = 64.0;

pub(super) async fn run(gateway: &Gateway) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (connections, each, floor, goal) in [(100, 100, 4.0, 2.8), (2_000, 1, 24.0, 20.0)] {
        let plain = kilobytes(&Peer::Broadcast.start()?, "", connections, each).await?;
        // A new process each time: memory that was freed before would be taken again unseen.
        let server = gateway.start()?;
        let ours = kilobytes(&server, &gateway.audience, connections, each).await?;
        server.stop()?;
        let name = format!("idle, KB a stream: {} over {connections} connections", connections * each);
        rows.push(Row::new(name, ours).beside(plain).at_most(floor, goal));
    }
    Ok(rows)
}

async fn kilobytes(server: &Process, token: &str, connections: u32, each: u32) -> Result<f64> {
    // The first stream brings what is there once: the room, the pools.
    let _first = Swarm::open(server.address, token, 1, 1, EVERY).await?;
    let before = settled(server).await?;
    let _streams = Swarm::open(server.address, token, connections, each, EVERY).await?;
    Ok((settled(server).await? - before) / f64::from(connections * each))
}

/// Returns the memory once it stands still.
async fn settled(server: &Process) -> Result<f64> {
    let began = Instant::now();
    let mut before = server.resident()?;
    loop {
        sleep(SAMPLE).await;
        let now = server.resident()?;
        if (now - before).abs() < STILL || began.elapsed() > PATIENCE {
            return Ok(now);
        }
        before = now;
    }
}

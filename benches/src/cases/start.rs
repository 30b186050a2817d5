//! The time of a start on an existing database, and the memory of an idle gateway.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};

use super::Scale;
use crate::{
    baseline::Baseline, latencies::median, load::rest::Rest, process::Process, report::Row, server::Gateway,
};

/// A start is short, so a round has several.
const STARTS_PER_ROUND: u32 = 3;
/// The time after which background work of the start has ended.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    let mut memory = (0.0, 0.0);
    for _ in 0..scale.rounds * STARTS_PER_ROUND {
        plain.push(first_answer(&Baseline::Axum.start().await?, "/livez")?);
        let server = gateway.start().await?;
        ours.push(first_answer(&server, "/readyz")?);
        server.stop().await?;
    }
    let (server, baseline) = (gateway.start().await?, Baseline::Broadcast.start().await?);
    first_answer(&server, "/readyz")?;
    thread::sleep(SETTLE);
    memory.0 = server.resident()? / 1024.0;
    memory.1 = baseline.resident()? / 1024.0;
    server.stop().await?;
    Ok(vec![
        Row::new("start to first answer on an existing database, ms", median(ours))
            .beside(median(plain))
            .at_most(100.0, 25.0),
        Row::new("idle memory, MB", memory.0).beside(memory.1).at_most(30.0, 15.0),
    ])
}

/// Returns the time from the start of the process to its first answer, in milliseconds.
fn first_answer(process: &Process, path: &str) -> Result<f64> {
    let status = Rest::open(process.address)?.get(path)?;
    ensure!(status == 200, "{path} answered {status}");
    Ok(process.age().as_secs_f64() * 1e3)
}

//! How long a start on an existing database takes, and the memory of a gateway without work.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};

use super::Scale;
use crate::{
    load::rest::Rest, peer::Peer, process::Process, quantiles::median, report::Row, server::Gateway,
};

/// A start is short, so that more of them cost nothing.
const STARTS_A_ROUND: u32 = 3;
/// After this long, what the start left to do has been done.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    let mut memory = (0.0, 0.0);
    for _ in 0..scale.rounds * STARTS_A_ROUND {
        plain.push(first_answer(&Peer::Axum.start()?, "/livez")?);
        let server = gateway.start()?;
        ours.push(first_answer(&server, "/readyz")?);
        server.stop()?;
    }
    let (server, peer) = (gateway.start()?, Peer::Broadcast.start()?);
    first_answer(&server, "/readyz")?;
    thread::sleep(SETTLE);
    memory.0 = server.resident()? / 1024.0;
    memory.1 = peer.resident()? / 1024.0;
    server.stop()?;
    Ok(vec![
        Row::new("start to first answer on an existing database, ms", median(ours))
            .beside(median(plain))
            .at_most(100.0, 25.0),
        Row::new("idle memory, MB", memory.0).beside(memory.1).at_most(30.0, 15.0),
    ])
}

/// Returns the time from the start of the process to an answer, in milliseconds.
fn first_answer(process: &Process, path: &str) -> Result<f64> {
    let status = Rest::open(process.address)?.get(path)?;
    ensure!(status == 200, "{path} answered {status}");
    Ok(process.age().as_secs_f64() * 1e3)
}

//! What the gateway adds to a call that does nothing: instructions of a health check, counted by valgrind, beside tonic
//! alone, and of `GET /livez` beside axum alone.
//!
//! CPU time on a shared machine cannot tell 1.0 from 1.1; instructions can.

use std::process::Command;

use anyhow::{Context as _, Result};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::{
    load::{grpc::Connection, rest::Rest},
    peer::Peer,
    process::Process,
    report::Row,
    server::Gateway,
};

const TOOL: [&str; 4] =
    ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"];
/// What is counted is the difference between so many calls and few of them.
const MANY: u32 = 1_500;
const FEW: u32 = 500;

#[derive(Clone, Copy, Debug)]
enum Call {
    Check,
    Livez,
}

pub(super) async fn run(gateway: &Gateway) -> Result<Vec<Row>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Ok(vec![Row::new("gateway overhead: not measured, valgrind is not installed", f64::NAN)]);
    }
    let mut rows = Vec::new();
    let cases = [("health check", Call::Check, Peer::Unary), ("GET /livez", Call::Livez, Peer::Axum)];
    for (name, call, peer) in cases {
        let plain = instructions(call, || peer.command(&TOOL)).await?;
        let ours = instructions(call, || Ok(gateway.command(&TOOL))).await?;
        rows.push(Row::new(format!("{name}: thousand instructions"), ours / 1e3).beside(plain / 1e3));
        rows.push(
            Row::new(format!("{name}: instructions, times the plain server's"), ours / plain)
                .at_most(1.1, 1.0),
        );
    }
    Ok(rows)
}

/// Returns the instructions of one call.
async fn instructions(call: Call, command: impl Fn() -> Result<Command>) -> Result<f64> {
    let few = total(call, FEW, command()?).await?;
    let many = total(call, MANY, command()?).await?;
    Ok((many - few) / f64::from(MANY - FEW))
}

/// Returns the instructions of a server's life with so many calls.
async fn total(call: Call, count: u32, mut command: Command) -> Result<f64> {
    let server = Process::start(&mut command)?;
    match call {
        Call::Livez => {
            let mut rest = Rest::open(server.address)?;
            for _ in 0..count {
                rest.get("/livez")?;
            }
        }
        Call::Check => {
            let connection = Connection::open(server.address).await?;
            let request = HealthCheckRequest::default();
            for _ in 0..count {
                let _: HealthCheckResponse =
                    connection.unary("/grpc.health.v1.Health/Check", None, &request).await?;
            }
        }
    }
    let written = server.stop()?;
    // "==123== I   refs:      1,234,567"
    let line = written.lines().find(|line| line.contains("refs:")).context("valgrind did not count")?;
    let (_, number) = line.rsplit_once(':').context("no number")?;
    Ok(number.trim().replace(',', "").parse()?)
}

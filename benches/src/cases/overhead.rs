//! The gateway's overhead on a call that does nothing: valgrind counts the instructions of a health check beside plain tonic,
//! and of `GET /livez` beside plain axum.
//!
//! CPU time on a shared machine does not distinguish a factor of 1.0 from 1.1; instructions do.

use anyhow::{Context as _, Result};
use grpcchatter_testbed::find_program;
use tokio::process::Command;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::{
    baseline::Baseline,
    load::{grpc::Connection, rest::Rest},
    process::Process,
    report::Row,
    server::Gateway,
};

const TOOL: [&str; 4] =
    ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"];
/// The instructions of a call are the difference between a run of `MANY` and a run of `FEW` calls.
const MANY: u32 = 1_500;
const FEW: u32 = 500;

#[derive(Clone, Copy, Debug)]
enum Call {
    Check,
    Livez,
}

pub(super) async fn run(gateway: &Gateway) -> Result<Vec<Row>> {
    if find_program("valgrind").is_none() {
        return Ok(vec![Row::new("gateway overhead: not measured, valgrind is not installed", f64::NAN)]);
    }
    let mut rows = Vec::new();
    let cases = [("health check", Call::Check, Baseline::Unary), ("GET /livez", Call::Livez, Baseline::Axum)];
    for (name, call, baseline) in cases {
        let plain = instructions(call, || baseline.command(&TOOL)).await?;
        let ours = instructions(call, || Ok(gateway.command(&TOOL))).await?;
        rows.push(Row::new(format!("{name}: thousand instructions"), ours / 1e3).beside(plain / 1e3));
        rows.push(
            Row::new(format!("{name}: instructions, times the plain server's"), ours / plain)
                .at_most(1.1, 1.0),
        );
    }
    Ok(rows)
}

/// Returns the number of instructions of one call.
async fn instructions(call: Call, command: impl Fn() -> Result<Command>) -> Result<f64> {
    let few = total(call, FEW, command()?).await?;
    let many = total(call, MANY, command()?).await?;
    Ok((many - few) / f64::from(MANY - FEW))
}

/// Returns the number of instructions of a server from start to stop, with `count` calls.
async fn total(call: Call, count: u32, command: Command) -> Result<f64> {
    let server = Process::start(command).await?;
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
    let output = server.stop().await?;
    // "==123== I   refs:      1,234,567"
    let line = output.lines().find(|line| line.contains("refs:")).context("valgrind did not count")?;
    let (_, number) = line.rsplit_once(':').context("no number")?;
    Ok(number.trim().replace(',', "").parse()?)
}

//! The gateway's overhead on a call that does nothing: valgrind counts the instructions of a health check beside plain tonic,
//! and of `GET /livez` beside plain axum.
//!
//! CPU time on a shared machine does not distinguish a factor of 1.0 from 1.1; instructions do.

use anyhow::Result;
use tokio::process::Command;

use crate::{
    baseline::Baseline,
    instructions::{Operation, VALGRIND, is_installed, total},
    report::Row,
    server::Gateway,
};

/// The instructions of a call are the difference between a run of `MANY` and a run of `FEW` calls.
const MANY: u32 = 1_500;
const FEW: u32 = 500;

pub(super) async fn run(gateway: &Gateway) -> Result<Vec<Row>> {
    if !is_installed() {
        return Ok(vec![Row::new("gateway overhead: not measured, valgrind is not installed", f64::NAN)]);
    }
    let mut rows = Vec::new();
    let cases = [
        ("health check", Operation::HealthCheck, Baseline::Unary),
        ("GET /livez", Operation::Livez, Baseline::Axum),
    ];
    for (name, call, baseline) in cases {
        let plain = instructions(call, || baseline.command(&VALGRIND)).await?;
        let ours = instructions(call, || Ok(gateway.command(&VALGRIND))).await?;
        rows.push(Row::new(format!("{name}: thousand instructions"), ours / 1e3).beside(plain / 1e3));
        rows.push(
            Row::new(format!("{name}: instructions, times the plain server's"), ours / plain)
                .at_most(1.1, 1.0),
        );
    }
    Ok(rows)
}

/// Returns the number of instructions of one call.
async fn instructions(call: Operation, command: impl Fn() -> Result<Command>) -> Result<f64> {
    let few = total(command()?, async |address| call.run(address, "", FEW).await).await?;
    let many = total(command()?, async |address| call.run(address, "", MANY).await).await?;
    Ok((many - few) / f64::from(MANY - FEW))
}

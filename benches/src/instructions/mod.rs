//! The gateway's instructions of each operation, compared with recorded ones. A change that makes an operation cost more fails
//! in CI, where CPU time would be too noisy to show it.
//!
//! The instructions of an operation are the difference between two runs of the gateway, divided by the number of operations
//! by which they differ. What both runs do, such as the start, cancels out.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::{figures::Figures, operation::STREAMS, valgrind::first_core};
pub(crate) use self::{
    operation::Operation,
    valgrind::{VALGRIND, is_installed, total},
};
use crate::{report::print, server::Gateway};

mod figures;
mod operation;
mod valgrind;

/// The figures by the operation that is counted.
type Named = (&'static str, Operation);

/// The figures whose operations a run on SQLite makes one after the other. A message of [`DELIVERY`] has runs of its own,
/// because opening and closing its streams takes a varying number of instructions.
const ON_SQLITE: [Named; 4] = [
    ("livez", Operation::Livez),
    ("health-check", Operation::HealthCheck),
    (APPEND, Operation::Append),
    ("list-messages", Operation::ListMessages),
];
const ON_POSTGRES: [Named; 1] = [("append-postgresql", Operation::Append)];
const APPEND: &str = "append-sqlite";
const DELIVERY: &str = "delivery";

/// Compares the gateway's instructions with the recorded ones, and prints a table. An operation that takes too many is counted
/// a second time, because time has some influence; the second count is the one that is judged.
///
/// # Errors
/// If an operation takes too many twice, or one was not counted.
pub(crate) async fn check(gateways: &[Gateway], recorded: &Path) -> Result<()> {
    let recorded = Figures::read(recorded)?;
    let mut measured = measure(gateways, &|_| true).await?;
    let exceeding = measured.exceeding(&recorded);
    if !exceeding.is_empty() {
        let second = measure(gateways, &|name| exceeding.iter().any(|exceeding| exceeding == name)).await?;
        for name in &exceeding {
            let first = measured.get(name).unwrap_or(f64::NAN);
            print(&format!("{name} took {first:.0} instructions, and was counted a second time"));
            measured.add(name, second.get(name).unwrap_or(f64::NAN))?;
        }
    }
    let (lines, failed) = measured.compare(&recorded);
    lines.iter().for_each(|line| print(line));
    ensure!(failed.is_empty(), "instructions: {}", failed.join(", "));
    Ok(())
}

/// Counts the gateway's instructions and records them.
///
/// # Errors
/// If one cannot be counted, or the file cannot be written.
pub(crate) async fn record(gateways: &[Gateway], file: &Path) -> Result<()> {
    let measured = measure(gateways, &|_| true).await?;
    measured.write(file)?;
    print(&format!("recorded in {}:\n{measured}", file.display()));
    Ok(())
}

/// Counts the figures whose names are wanted.
async fn measure(gateways: &[Gateway], wanted: &dyn Fn(&str) -> bool) -> Result<Figures> {
    ensure!(is_installed(), "valgrind is not installed");
    ensure!(gateways.iter().any(Gateway::is_postgres), "PostgreSQL is not installed");
    let mut figures = Figures::default();
    for gateway in gateways {
        if gateway.is_postgres() {
            count(gateway, &ON_POSTGRES, wanted, &mut figures).await?;
            continue;
        }
        // The append is a part of what is counted of a delivery.
        let needed = |name: &str| wanted(name) || (name == APPEND && wanted(DELIVERY));
        count(gateway, &ON_SQLITE, &needed, &mut figures).await?;
        if wanted(DELIVERY) {
            let mut message = Figures::default();
            count(gateway, &[(DELIVERY, Operation::Deliver)], wanted, &mut message).await?;
            let both = message.get(DELIVERY).zip(figures.get(APPEND));
            let (message, append) = both.context("a delivery was not counted")?;
            ensure!(
                message > append,
                "a message with {STREAMS} deliveries took {message:.0} instructions, and one without {append:.0}"
            );
            figures.add(DELIVERY, (message - append) / f64::from(STREAMS))?;
        }
    }
    Ok(figures)
}

/// Counts the instructions of one of each wanted operation. The runs make the others too, so that they do not depend on what
/// is wanted.
async fn count(
    gateway: &Gateway,
    operations: &[Named],
    wanted: &dyn Fn(&str) -> bool,
    figures: &mut Figures,
) -> Result<()> {
    let all: Vec<_> = operations.iter().map(|(_, operation)| *operation).collect();
    let mut wanted = operations.iter().filter(|(name, _)| wanted(name)).peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let few = run(gateway, &all, None).await?;
    for (name, operation) in wanted {
        let many = run(gateway, &all, Some(*operation)).await?;
        let (least, most) = operation.counts();
        figures.add(name, (many - few) / f64::from(most - least))?;
    }
    Ok(())
}

/// Returns the instructions of a run that makes few of each operation, and many of one.
async fn run(gateway: &Gateway, operations: &[Operation], many: Option<Operation>) -> Result<f64> {
    let core = first_core()?;
    let tool: Vec<_> = ["taskset", "--cpu-list", &core].into_iter().chain(VALGRIND).collect();
    total(gateway.command(&tool), async |address| {
        for operation in operations {
            let (least, most) = operation.counts();
            let count = if many == Some(*operation) { most } else { least };
            let room = if *operation == Operation::Deliver {
                Some(&gateway.audience)
            } else {
                gateway.senders.first()
            };
            operation.run(address, room.map_or("", String::as_str), count).await?;
        }
        Ok(())
    })
    .await
}

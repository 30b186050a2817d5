//! Measures the gateway's speed and size: `cargo run --release -p grpcchatter-bench`.
//!
//! The gateway and a plain tonic server run as child processes on loopback. One thread loads them, and the kernel's
//! accounting gives the CPU time of each. Load and servers share the machine, so the ratio of the two servers means more than
//! a single figure. Each case runs on one database after the other, so that both are measured under similar conditions.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::{
    baseline::Baseline,
    cases::{Case, Scale},
    report::Report,
    server::{Database, Gateway},
};

mod baseline;
mod cases;
mod cgroup;
mod curve;
mod instructions;
mod latencies;
mod load;
mod machine;
mod plot;
mod process;
mod report;
mod server;

/// Measures the gateway beside plain tonic and axum servers, and prints a table.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Short rounds, to check that the benchmark works; the figures are not reliable.
    #[arg(long, conflicts_with = "long")]
    quick: bool,
    /// Longer and more rounds.
    #[arg(long)]
    long: bool,
    /// Run only these cases; without it, all but growth, which takes about 20 minutes.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Case>,
    /// Measure with SQLite only. Without it a private PostgreSQL is started too, from Debian's package.
    #[arg(long)]
    sqlite: bool,
    /// Measure with this empty PostgreSQL database instead of a private one.
    #[arg(long, value_name = "URL", conflicts_with = "sqlite")]
    database_url: Option<String>,
    /// Write the curves of growth into this folder, as SVG.
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Count the instructions of each operation, and fail if one takes over 10 % more than this file records.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "long", "only", "sqlite"])]
    check_instructions: Option<PathBuf>,
    /// Count the instructions of each operation, and record them in this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "long", "only", "sqlite", "check_instructions"])]
    record_instructions: Option<PathBuf>,
    /// Run one of the plain servers, as a child process of the benchmark.
    #[arg(long, hide = true)]
    baseline: Option<Baseline>,
}

impl Arguments {
    const fn scale(&self) -> Scale {
        let (round, rounds) = match (self.quick, self.long) {
            (true, _) => (Duration::from_secs(2), 1),
            (_, true) => (Duration::from_secs(10), 5),
            _ => (Duration::from_secs(5), 3),
        };
        Scale { round, rounds, quick: self.quick }
    }

    async fn databases(&self) -> Result<Vec<Database>> {
        let mut databases = vec![Database::Sqlite];
        match &self.database_url {
            Some(url) => databases.push(Database::Url(url.clone())),
            None if self.sqlite => {}
            None => databases.extend(Database::start_postgres().await?),
        }
        Ok(databases)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(baseline) = arguments.baseline {
        return baseline.run();
    }
    grpcchatter_testbed::raise_file_limit().context("the limit of open files cannot be raised")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(measure(&arguments)))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let program = server::program()?;
    let databases = arguments.databases().await?;
    let names: Vec<_> = databases.iter().map(Database::name).collect();
    let mut facts = machine::facts(&program)?;
    if databases.len() == 1 && !arguments.sqlite {
        facts.push_str("\nNot measured with PostgreSQL: it is not installed.");
    }
    let mut gateways = Vec::new();
    for database in databases {
        gateways.push(Gateway::prepare(&program, database).await?);
    }
    if let Some(file) = &arguments.check_instructions {
        return instructions::check(&gateways, file).await;
    }
    if let Some(file) = &arguments.record_instructions {
        return instructions::record(&gateways, file).await;
    }
    let report = Report::start(&facts, &names);
    let wanted = |case: &&Case| match arguments.only.is_empty() {
        true => case.runs_by_default(),
        false => arguments.only.contains(case),
    };
    for case in Case::ALL.iter().filter(wanted) {
        let (mut measured, mut curves) = (Vec::new(), Vec::new());
        for gateway in gateways.iter().take(if case.depends_on_database() { gateways.len() } else { 1 }) {
            let results = case.run(gateway, arguments.scale()).await;
            let results = results.with_context(|| format!("{case:?} with {}", gateway.database()))?;
            measured.push(results.rows);
            curves.push(results.curves);
        }
        report.rows(&measured);
        if let Some(folder) = &arguments.plots {
            plot::write(folder, &names, &curves)?;
        }
    }
    Ok(())
}

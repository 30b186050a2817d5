//! Measures the gateway's speed and size: `cargo run --release -p grpcchatter-bench`.
//!
//! The gateway and a plain tonic server run as child processes on loopback. One thread loads them, and the kernel's
//! accounting gives the CPU time of each. Load and servers share the machine, so the ratio of the two servers means more than
//! a single figure. Each case runs on one database after the other, so that both are measured under similar conditions.

use std::time::Duration;

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
mod latencies;
mod load;
mod machine;
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
    /// Run only these cases; without it, all of them.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Case>,
    /// Measure with SQLite only. Without it a private PostgreSQL is started too, from Debian's package.
    #[arg(long)]
    sqlite: bool,
    /// Measure with this empty PostgreSQL database instead of a private one.
    #[arg(long, value_name = "URL", conflicts_with = "sqlite")]
    database_url: Option<String>,
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
    let report = Report::start(&facts, &names);
    let mut gateways = Vec::new();
    for database in databases {
        gateways.push(Gateway::prepare(&program, database).await?);
    }
    let wanted = |case: &&Case| arguments.only.is_empty() || arguments.only.contains(case);
    for case in Case::ALL.iter().filter(wanted) {
        let mut measured = Vec::new();
        for gateway in gateways.iter().take(if case.depends_on_database() { gateways.len() } else { 1 }) {
            let rows = case.run(gateway, arguments.scale()).await;
            measured.push(rows.with_context(|| format!("{case:?} with {}", gateway.database()))?);
        }
        report.rows(&measured);
    }
    Ok(())
}

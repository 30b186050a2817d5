//! The program that prints how fast and how small the gateway is: `cargo run --release -p grpcchatter-bench`.
//!
//! The real server and, in the same run, a plain tonic server are started as child processes on loopback; one
//! thread loads them; the kernel's accounting of the child says what a delivery cost. Load and server share
//! the machine, so the ratio between the two servers says more than any single figure. The databases take turns case by
//! case, so that both meet the same moments of the machine.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::{
    cases::{Case, Scale},
    peer::Peer,
    report::Report,
    server::{Database, Gateway},
};

mod cases;
mod jail;
mod load;
mod machine;
mod peer;
mod postgres;
mod process;
mod quantiles;
mod report;
mod server;

/// Measures the gateway beside plain servers, and prints the table.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Short rounds: to see that all works, not to trust.
    #[arg(long, conflicts_with = "long")]
    quick: bool,
    /// Long rounds, and more of them.
    #[arg(long)]
    long: bool,
    /// Only these cases; all without it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Case>,
    /// With SQLite alone; without it also with a private PostgreSQL, started by the programs that Debian installs.
    #[arg(long)]
    sqlite: bool,
    /// With this empty PostgreSQL database in place of a private one.
    #[arg(long, value_name = "URL", conflicts_with = "sqlite")]
    database_url: Option<String>,
    /// Runs one of the plain servers, as the program itself does.
    #[arg(long, hide = true)]
    peer: Option<Peer>,
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

    fn databases(&self) -> Result<Vec<Database>> {
        let mut databases = vec![Database::Sqlite];
        match &self.database_url {
            Some(url) => databases.push(Database::Url(url.clone())),
            None if self.sqlite => {}
            None => databases.extend(Database::start_postgres()?),
        }
        Ok(databases)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(peer) = arguments.peer {
        return peer.run();
    }
    process::raise_file_limit().context("could not raise the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(measure(&arguments)))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let program = server::program()?;
    let databases = arguments.databases()?;
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
        for gateway in gateways.iter().take(if case.writes() { gateways.len() } else { 1 }) {
            let rows = case.run(gateway, arguments.scale()).await;
            measured.push(rows.with_context(|| format!("{case:?} with {}", gateway.database()))?);
        }
        report.rows(&measured);
    }
    Ok(())
}

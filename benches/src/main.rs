//! The program that prints how fast and how small the gateway is: `cargo run --release -p grpcchatter-bench`.
//!
//! The real server and, in the same run, a plain tonic server are started as child processes on loopback; one
//! thread loads them; the kernel's accounting of the child says what a delivery cost. Load and server share
//! the machine, so the ratio between the two servers says more than any single figure.

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
    /// Long rounds, and enough logins to judge their timing.
    #[arg(long)]
    long: bool,
    /// Only these cases; all without it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Case>,
    /// Also measures with PostgreSQL: a private one, started by the programs that Debian installs.
    #[arg(long)]
    postgres: bool,
    /// Also measures with this empty PostgreSQL database.
    #[arg(long, value_name = "URL", conflicts_with = "postgres")]
    database_url: Option<String>,
    /// Runs one of the plain servers, as the program itself does.
    #[arg(long, hide = true)]
    peer: Option<Peer>,
}

impl Arguments {
    const fn scale(&self) -> Scale {
        let (round, rounds, logins) = match (self.quick, self.long) {
            (true, _) => (Duration::from_secs(2), 1, 25),
            (_, true) => (Duration::from_secs(10), 5, 2_000),
            _ => (Duration::from_secs(5), 3, 400),
        };
        Scale { round, rounds, logins }
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
    let report = Report::start(&machine::facts(&program)?);
    let mut databases = vec![Database::Sqlite];
    if arguments.postgres {
        databases.push(Database::start_postgres()?);
    }
    databases.extend(arguments.database_url.clone().map(Database::Url));
    for (index, database) in databases.into_iter().enumerate() {
        report.heading(database.name());
        let gateway = Gateway::prepare(&program, database).await?;
        let cases =
            Case::ALL.iter().filter(|case| arguments.only.is_empty() || arguments.only.contains(case));
        for case in cases.filter(|case| index == 0 || case.writes()) {
            let rows = case.run(&gateway, arguments.scale()).await;
            rows.with_context(|| format!("{case:?}"))?.iter().for_each(|row| report.row(row));
        }
    }
    Ok(())
}

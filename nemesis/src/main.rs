//! Shows that the log keeps its promise: runs the real server as a process under load, breaks things around it,
//! heals them, and checks what everybody sent and saw.
//!
//! `GRPCCHATTER_BIN` names the server. The mutants need one that was built with the feature `deliberate-faults`.

use std::{
    env,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::{
    faults::Fault,
    mutants::MUTANTS,
    round::{Database, Outcome},
};

mod client;
mod faults;
mod load;
mod mutants;
mod postgres;
mod proxy;
mod record;
mod round;
mod server;
mod table;
mod trace;

/// So many trials share a server, a database and a history.
const TRIALS_A_ROUND: usize = 100;

/// Where the tables of the long form are kept.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/nemesis.md");

/// Breaks things around the server, and checks that its log keeps its promise.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Only these faults; all without any.
    faults: Vec<Fault>,
    /// Only on these databases.
    #[arg(long, value_delimiter = ',')]
    database: Vec<Database>,
    /// As often as the promise's figures ask for.
    #[arg(long)]
    long: bool,
    /// So often, whatever the form.
    #[arg(long)]
    trials: Option<usize>,
    /// Runs the servers that break the promise on purpose, and fails if one is not caught; all, or these.
    #[arg(long, value_delimiter = ',', num_args = 0.., conflicts_with_all = ["faults", "long"])]
    mutants: Option<Vec<String>>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let program = env::var_os("GRPCCHATTER_BIN").map(PathBuf::from).map_or_else(beside, Ok)?;
    let passed = match &arguments.mutants {
        Some(names) => catch_mutants(&program, names).await?,
        None => break_things(&program, &arguments).await?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the server that was built together with this program.
fn beside() -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("grpcchatter"))
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are what this program is for")]
async fn catch_mutants(program: &Path, names: &[String]) -> Result<bool> {
    let known = MUTANTS.iter().filter(|name| names.is_empty() || names.iter().any(|wanted| wanted == *name));
    let mut rows = Vec::new();
    let mut passed = true;
    // A server without a fault is not blamed: else the others would prove nothing.
    for name in std::iter::once(&"").chain(known) {
        let found = mutants::run(program, name).await?;
        let right = found.is_empty() == name.is_empty();
        passed &= right;
        if name.is_empty() || !right {
            found.iter().take(5).for_each(|violation| eprintln!("{name}: {violation}"));
        }
        let mut kinds: Vec<&str> = found.iter().filter_map(|found| Some(found.split_once(": ")?.0)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let verdict = match (name.is_empty(), right) {
            (true, true) => "not blamed",
            (false, true) => "caught",
            _ => "WRONG",
        };
        let name = if name.is_empty() { "(none)" } else { name };
        rows.push(vec![name.to_owned(), verdict.to_owned(), kinds.join(" ")]);
    }
    println!("{}", table::table(&["mutant", "verdict", "broken"], &rows));
    Ok(passed)
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are what this program is for")]
async fn break_things(program: &Path, arguments: &Arguments) -> Result<bool> {
    let chosen = if arguments.faults.is_empty() { Fault::ALL } else { &arguments.faults };
    let mut rows = Vec::new();
    let mut passed = true;
    for fault in chosen {
        let databases = fault
            .databases()
            .iter()
            .filter(|database| arguments.database.is_empty() || arguments.database.contains(database));
        for database in databases {
            let name = format!("{fault:?} on {database:?}");
            if *database == Database::Postgres && !postgres::Postgres::is_installed() {
                eprintln!("NOT RUN: {name}, since PostgreSQL is not installed");
                passed &= env::var_os("REQUIRE_POSTGRES").is_none();
                continue;
            }
            if let Some(lack) = fault.lacks() {
                eprintln!("NOT RUN: {name}, since it needs {lack}");
                continue;
            }
            let trials = arguments.trials.unwrap_or_else(|| fault.trials(arguments.long));
            let mut sum = Outcome::default();
            for first in (0..trials).step_by(TRIALS_A_ROUND) {
                let some = TRIALS_A_ROUND.min(trials - first);
                sum.add(fault.round(program, *database, some, arguments.long).await.context(name.clone())?);
            }
            sum.explain().iter().for_each(|line| eprintln!("{name}: {line}"));
            passed &= sum.violations.is_empty();
            rows.push(sum.row(*fault, *database, trials));
        }
    }
    let head = ["fault", "database", "trials", "messages", "violations", "worst recovery"];
    let table = table::table(&head, &rows);
    println!("{table}");
    if arguments.long {
        keep(&table)?;
    }
    Ok(passed)
}

/// Appends a table to the file that keeps them, with the commit and the date.
fn keep(table: &str) -> Result<()> {
    let say = |program: &str, arguments: &[&str]| -> Result<String> {
        let output =
            Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let (date, commit) = (say("date", &["-u", "+%F"])?, say("git", &["rev-parse", "--short", "HEAD"])?);
    let mut file = File::options().append(true).create(true).open(KEPT)?;
    Ok(write!(file, "\n## {date}, commit {commit}\n\n{table}")?)
}

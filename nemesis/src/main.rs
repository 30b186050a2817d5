//! Checks the durability promise: runs the real server as a process under load, injects faults around it, heals them, and
//! checks what all clients sent and saw.
//!
//! `GRPCCHATTER_BIN` names the server. The mutants need a server built with the feature `deliberate-faults`.

use std::{
    env, fmt,
    fs::File,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::Result;
use clap::Parser;
use grpcchatter_testbed::{built_program, raise_file_limit};

use crate::{
    faults::{Fault, Missing},
    mutants::{MUTANTS, NO_MUTANT},
    outcome::Outcome,
    setup::{Database, Setup},
};

mod client;
mod faults;
mod fdatasync_order;
mod load;
mod mutants;
mod outcome;
mod record;
mod round;
mod server;
mod setup;
mod strace;
mod table;

/// The most trials that share a server, a database and a history.
const TRIALS_PER_ROUND: usize = 100;

/// The file to which the tables of the long form are appended.
const RESULTS_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/nemesis.md");

/// Injects faults around the server, and checks that its log keeps the durability promise.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Run only these faults; without any, all of them.
    faults: Vec<Fault>,
    /// Run only on these databases.
    #[arg(long, value_delimiter = ',')]
    database: Vec<Database>,
    /// Run the long form: more trials, and without the short form's tolerance.
    #[arg(long)]
    long: bool,
    /// Run each fault this many times, in either form.
    #[arg(long)]
    trials: Option<usize>,
    /// Run servers that break the promise on purpose, and fail unless the checker catches each; all of them, or these.
    #[arg(long, value_delimiter = ',', num_args = 0.., conflicts_with_all = ["faults", "long"])]
    mutants: Option<Vec<String>>,
    /// Open streams to this server and read nothing from them: the child process of the fault ClientsHalfOpen.
    #[arg(long, hide = true)]
    silent_clients: Option<SocketAddr>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    raise_file_limit()?;
    if let Some(address) = arguments.silent_clients {
        faults::hold_silent_streams(address).await?;
    }
    let named = env::var_os("GRPCCHATTER_BIN").map(PathBuf::from);
    let program = named.map_or_else(|| built_program("grpcchatter"), Ok)?;
    let setup = Setup::new(program, arguments.long);
    let passed = match &arguments.mutants {
        Some(names) => run_mutants(&setup, names).await?,
        None => run_faults(&setup, &arguments).await?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_mutants(setup: &Setup, names: &[String]) -> Result<bool> {
    let began = Instant::now();
    let chosen = MUTANTS.iter().filter(|name| names.is_empty() || names.iter().any(|wanted| wanted == *name));
    let mut rows = Vec::new();
    let mut passed = true;
    for name in std::iter::once(&NO_MUTANT).chain(chosen) {
        for database in mutants::databases(name) {
            let (ok, row) = run_mutant(setup, name, *database).await;
            passed &= ok;
            rows.push(row);
        }
    }
    print(&table::markdown(&["mutant", "database", "verdict", "violated", "seconds"], &rows))?;
    print(&format!("all in {} s", began.elapsed().as_secs()))?;
    Ok(passed)
}

/// Returns whether a mutant was caught, or the server without one was not blamed, and its row of the table.
async fn run_mutant(setup: &Setup, name: &str, database: Database) -> (bool, Vec<String>) {
    let is_control = name == NO_MUTANT;
    let label = if is_control { "(none)" } else { name };
    let row = |cells: &[&str]| -> Vec<String> {
        [label, &format!("{database:?}")].iter().chain(cells).map(|&cell| cell.to_owned()).collect()
    };
    let started = Instant::now();
    if let Some(missing) = database.missing(setup).await {
        return (may_be_skipped(&missing), row(&[&missing.to_string()]));
    }
    let violations = match mutants::run(setup, name, database).await {
        Ok(violations) => violations,
        Err(error) => return (false, row(&[&format!("FAILED: {error:#}")])),
    };
    let ok = violations.is_empty() == is_control;
    if is_control || !ok {
        violations.iter().take(5).for_each(|violation| progress(format_args!("{label}: {violation}")));
    }
    let mut invariants: Vec<&str> =
        violations.iter().filter_map(|violation| Some(violation.split_once(": ")?.0)).collect();
    invariants.sort_unstable();
    invariants.dedup();
    let verdict = match (is_control, ok) {
        (true, true) => "not blamed",
        (false, true) => "caught",
        _ => "WRONG",
    };
    let seconds = format!("{:.0}", started.elapsed().as_secs_f64());
    (ok, row(&[verdict, &invariants.join(" "), &seconds]))
}

/// Returns whether a fault may be skipped: a missing permission is the machine's matter, but a missing tool can be
/// installed, and fails the run where `REQUIRE_NEMESIS` is set.
fn may_be_skipped(missing: &Missing) -> bool {
    matches!(missing, Missing::Permission(_)) || env::var_os("REQUIRE_NEMESIS").is_none()
}

async fn run_faults(setup: &Setup, arguments: &Arguments) -> Result<bool> {
    let began = Instant::now();
    let chosen = if arguments.faults.is_empty() { Fault::ALL } else { &arguments.faults };
    let mut rows = Vec::new();
    let mut passed = true;
    for fault in chosen {
        let databases = fault
            .databases()
            .iter()
            .filter(|database| arguments.database.is_empty() || arguments.database.contains(database));
        for database in databases {
            let trials = arguments.trials.unwrap_or_else(|| fault.trials(setup.long));
            let (ok, row) = run_fault(setup, *fault, *database, trials).await;
            passed &= ok;
            rows.push(row);
        }
    }
    let table = table::markdown(&outcome::HEADINGS, &rows);
    if arguments.long {
        append_results(&table)?;
    }
    print(&table)?;
    print(&format!("all in {} s", began.elapsed().as_secs()))?;
    Ok(passed)
}

/// Returns whether a fault broke no promise, and its row of the table.
async fn run_fault(setup: &Setup, fault: Fault, database: Database, trials: usize) -> (bool, Vec<String>) {
    let name = format!("{fault:?} on {database:?}");
    let mut row = vec![format!("{fault:?}"), format!("{database:?}")];
    if let Some(missing) = fault.missing(setup, database).await {
        progress(format_args!("{name}: {missing}"));
        row.extend(["0", "0", "0", "", "", ""].map(str::to_owned));
        row.push(missing.to_string());
        return (may_be_skipped(&missing), row);
    }
    let started = Instant::now();
    let mut sum = Outcome::default();
    for first in (0..trials).step_by(TRIALS_PER_ROUND) {
        // A round that cannot be completed is a violation; the rounds after it still run.
        match fault.round(setup, database, TRIALS_PER_ROUND.min(trials - first), &[]).await {
            Ok(outcome) => sum.add(outcome),
            Err(error) => sum.violations.push(format!("the round ended: {error:#}")),
        }
    }
    sum.explain().iter().for_each(|line| progress(format_args!("{name}: {line}")));
    row.push(trials.to_string());
    row.extend(sum.cells(started.elapsed()));
    progress(format_args!("{}", row.join("  ")));
    (sum.violations.is_empty(), row)
}

/// Prints a table. A reader that closed the pipe, as `head` does, changes no verdict.
fn print(table: &str) -> Result<()> {
    match writeln!(io::stdout(), "{table}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Writes a line of progress to standard error. A failed write is ignored: the tables hold every result.
fn progress(line: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Appends a table to [`RESULTS_FILE`], under the date and the commit.
fn append_results(table: &str) -> Result<()> {
    let output_of = |program: &str, arguments: &[&str]| -> Result<String> {
        let output =
            Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let date = output_of("date", &["-u", "+%F"])?;
    let commit = output_of("git", &["rev-parse", "--short", "HEAD"])?;
    let mut file = File::options().append(true).create(true).open(RESULTS_FILE)?;
    Ok(write!(file, "\n## {date}, commit {commit}\n\n{table}")?)
}

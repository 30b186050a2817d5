//! Shows that the log keeps its promise: runs the real server as a process under load, breaks things around it,
//! heals them, and checks what everybody sent and saw.
//!
//! `GRPCCHATTER_BIN` names the server. The mutants need one that was built with the feature `deliberate-faults`.

use std::{
    env,
    fs::File,
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::Result;
use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::{
    bench::{Bench, Database},
    faults::{Fault, Lack},
    mutants::MUTANTS,
    outcome::Outcome,
};

mod bench;
mod client;
mod faults;
mod load;
mod mutants;
mod outcome;
mod postgres;
mod proxy;
mod record;
mod round;
mod server;
mod table;
mod trace;

/// So many trials share a server, a database and a history, at most.
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
    /// Is the process that opens streams and falls silent.
    #[arg(long, hide = true)]
    silent_clients: Option<SocketAddr>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    allow_many_files()?;
    if let Some(address) = arguments.silent_clients {
        faults::be_silent(address).await?;
    }
    let program = env::var_os("GRPCCHATTER_BIN").map(PathBuf::from).map_or_else(beside, Ok)?;
    let bench = Bench::new(program, arguments.long);
    let passed = match &arguments.mutants {
        Some(names) => catch_mutants(&bench, names).await?,
        None => break_things(&bench, &arguments).await?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the server that was built together with this program.
fn beside() -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("grpcchatter"))
}

/// Lets this process, and the server, open as many files as they may.
fn allow_many_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are what this program is for")]
async fn catch_mutants(bench: &Bench, names: &[String]) -> Result<bool> {
    let began = Instant::now();
    let known = MUTANTS.iter().filter(|name| names.is_empty() || names.iter().any(|wanted| wanted == *name));
    let mut rows = Vec::new();
    let mut passed = true;
    for name in std::iter::once(&"").chain(known) {
        for database in mutants::databases(name) {
            let (told, started) = (if name.is_empty() { "(none)" } else { name }, Instant::now());
            if let Some(lack) = database.lacks(bench).await {
                passed &= may_be_passed_over(&lack);
                rows.push(vec![told.to_owned(), format!("{database:?}"), lack.to_string()]);
                continue;
            }
            let found = match mutants::run(bench, name, *database).await {
                Ok(found) => found,
                Err(error) => {
                    passed = false;
                    rows.push(vec![told.to_owned(), format!("{database:?}"), format!("FAILED: {error:#}")]);
                    continue;
                }
            };
            let right = found.is_empty() == name.is_empty();
            passed &= right;
            if name.is_empty() || !right {
                found.iter().take(5).for_each(|violation| eprintln!("{told}: {violation}"));
            }
            let mut kinds: Vec<&str> =
                found.iter().filter_map(|found| Some(found.split_once(": ")?.0)).collect();
            kinds.sort_unstable();
            kinds.dedup();
            let verdict = match (name.is_empty(), right) {
                (true, true) => "not blamed",
                (false, true) => "caught",
                _ => "WRONG",
            };
            let seconds = started.elapsed().as_secs_f64();
            rows.push(vec![
                told.to_owned(),
                format!("{database:?}"),
                verdict.to_owned(),
                kinds.join(" "),
                format!("{seconds:.0}"),
            ]);
        }
    }
    println!("{}", table::table(&["mutant", "database", "verdict", "broken", "seconds"], &rows));
    println!("all in {} s", began.elapsed().as_secs());
    Ok(passed)
}

/// Says whether what is missing may be missing: a tool can be installed, a right that the machine does not give cannot.
fn may_be_passed_over(lack: &Lack) -> bool {
    matches!(lack, Lack::Right(_)) || env::var_os("REQUIRE_NEMESIS").is_none()
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are what this program is for")]
async fn break_things(bench: &Bench, arguments: &Arguments) -> Result<bool> {
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
            let name = format!("{fault:?} on {database:?}");
            let mut row = vec![format!("{fault:?}"), format!("{database:?}")];
            if let Some(lack) = fault.lacks(bench, *database).await {
                eprintln!("{name}: {lack}");
                passed &= may_be_passed_over(&lack);
                row.extend(["0", "0", "0", "", "", ""].map(str::to_owned));
                row.push(lack.to_string());
                rows.push(row);
                continue;
            }
            let (trials, started) =
                (arguments.trials.unwrap_or_else(|| fault.trials(bench.long)), Instant::now());
            let mut sum = Outcome::default();
            for first in (0..trials).step_by(TRIALS_A_ROUND) {
                // What could not be carried through shows nothing, and is no reason to leave out the rest.
                match fault.round(bench, *database, TRIALS_A_ROUND.min(trials - first), &[]).await {
                    Ok(outcome) => sum.add(outcome),
                    Err(error) => sum.violations.push(format!("the round ended: {error:#}")),
                }
            }
            sum.explain().iter().for_each(|line| eprintln!("{name}: {line}"));
            passed &= sum.violations.is_empty();
            row.push(trials.to_string());
            row.extend(sum.cells(started.elapsed()));
            eprintln!("{}", row.join("  "));
            rows.push(row);
        }
    }
    let table = table::table(&outcome::HEAD, &rows);
    println!("{table}\nall in {} s", began.elapsed().as_secs());
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

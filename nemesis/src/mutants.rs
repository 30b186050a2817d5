//! Servers that break the promise on purpose: the checker must catch each of them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::{
    bench::{Bench, Database},
    faults::Fault,
    load::Crowd,
    round::{Kept, Limits, PATIENCE, Round},
};

/// The names that `src/faults.rs` knows, which a test compares.
pub(crate) const MUTANTS: &[&str] = &[
    "ack-before-commit",
    "publish-before-commit",
    "no-deduplication",
    "deduplication-under-lock",
    "ids-forgotten",
    "row-not-stored",
    "body-mixed-up",
    "gap-after-restart",
    "batch-reversed",
    "retry-answered-anew",
    "delivery-dropped",
    "delivered-twice",
    "two-swapped",
    "gap-fill-skipped",
    "tail-forgotten",
    "resume-skips-one",
    "resume-repeats-one",
    "catch-up-skipped",
    "resume-point-trusted",
    "stale-page",
    "echo-without-id",
    "seam-unchecked",
    "doubt-rolled-back",
    "seq-from-a-sequence",
];

/// Those that are run on PostgreSQL as well: it locks, and sees what is committed, in ways of its own.
const ON_POSTGRES: &[&str] = &["", "no-deduplication", "deduplication-under-lock", "seq-from-a-sequence"];

/// The variable that chooses one.
const VARIABLE: &str = "GRPCCHATTER_FAULT";

/// How long a mutant is left alone between two kills.
const SPELL: Duration = Duration::from_millis(400);

/// How often it is killed in one round.
const KILLS: usize = 3;

/// How often a standby takes over in one round from a mutant that only this shows. The poll may be quicker than the log
/// that grows again.
const FAILOVERS: usize = 2;

/// So many rounds does a mutant get to show itself: some need a kill at the right moment.
const ROUNDS: usize = 8;

/// A server without a fault is run so often. It must not be blamed: else the others would prove nothing.
const CONTROLS: usize = 2;

/// How long answers are waited for at the end: a mutant may never give them.
const LAST_ANSWERS: Duration = Duration::from_millis(1_500);

/// The same for a server without a fault, which gives them however slow the machine is.
const LAST_ANSWERS_OF_CONTROLS: Duration = Duration::from_secs(20);

/// How fast a server is, is no matter here. A mutant may never go on, and is not waited for.
const fn limits(recovery: Duration) -> Limits {
    Limits { recovery, answer: None, ready: PATIENCE, log: Kept::All }
}

/// Returns what a mutant needs to show itself, where kills are not enough.
fn fault(name: &str) -> Option<Fault> {
    match name {
        "seam-unchecked" => Some(Fault::FailoverAsync),
        "doubt-rolled-back" => Some(Fault::FailoverSync),
        _ => None,
    }
}

/// Returns the databases on which a mutant is run, or the server without a fault if `name` is empty.
pub(crate) fn databases(name: &str) -> &'static [Database] {
    if let Some(fault) = fault(name) {
        return fault.databases();
    }
    if ON_POSTGRES.contains(&name) { &[Database::Sqlite, Database::Postgres] } else { &[Database::Sqlite] }
}

/// Runs a mutant until it is caught, or a server without a fault if `name` is empty, and returns what the checker says.
pub(crate) async fn run(bench: &Bench, name: &str, database: Database) -> Result<Vec<String>> {
    for _ in 0..if name.is_empty() { CONTROLS } else { ROUNDS } {
        let found = run_once(bench, name, database).await.with_context(|| format!("the mutant {name:?}"))?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

async fn run_once(bench: &Bench, name: &str, database: Database) -> Result<Vec<String>> {
    let chosen = (VARIABLE.to_owned(), name.to_owned());
    if let Some(fault) = fault(name) {
        return Ok(fault.round(bench, database, FAILOVERS, &[chosen]).await?.violations);
    }
    let mut plan = bench.plan();
    let mut patience = LAST_ANSWERS_OF_CONTROLS;
    if !name.is_empty() {
        plan.settings.push(chosen);
        patience = LAST_ANSWERS;
    }
    let mut round = Round::start(bench, plan, database, Crowd::MIXED, limits(patience)).await?;
    for _ in 0..KILLS {
        sleep(SPELL).await;
        round.server.kill().await?;
        round.server.again().await?;
    }
    sleep(SPELL).await;
    Ok(round.judge(patience).await?.violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deliberate_fault_has_a_mutant() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/faults.rs");
        let source = std::fs::read_to_string(source).expect("readable");
        let named = source.lines().filter_map(|line| {
            let (name, rest) = line.trim().strip_prefix("(\"")?.split_once('"')?;
            rest.starts_with(", Fault::").then_some(name)
        });
        assert_eq!(named.collect::<Vec<_>>(), MUTANTS);
    }
}

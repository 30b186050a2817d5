//! Mutants, which are servers that break the promise on purpose: the checker must catch each.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::{
    faults::Fault,
    load::ClientMix,
    round::{ExpectedLog, Limits, Round, WAIT_TIMEOUT},
    setup::{Database, Setup},
};

/// The names in `src/faults.rs`; a test keeps the two lists equal.
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
    "retry-gives-new-seq",
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
    "fork-undetected",
    "in-doubt-rolled-back",
    "seq-from-a-sequence",
    "epoch-ignored",
    "fast-path-acks-before-commit",
    "refusal-leaves-half",
];

/// Names the control: the server without a mutation, which must not be blamed.
pub(crate) const NO_MUTANT: &str = "";

/// The mutants that also run on PostgreSQL, whose locks and visibility rules differ from SQLite's.
const ON_POSTGRES: &[&str] = &[
    NO_MUTANT,
    "no-deduplication",
    "row-not-stored",
    "deduplication-under-lock",
    "seq-from-a-sequence",
    "fast-path-acks-before-commit",
    "refusal-leaves-half",
];

/// The environment variable that chooses a mutant.
const VARIABLE: &str = "GRPCCHATTER_FAULT";

/// The time between two kills.
const KILL_INTERVAL: Duration = Duration::from_millis(400);

/// The number of kills in a round.
const KILLS: usize = 3;

/// The number of trials in a round of a mutant that needs a fault. One failover may not be enough: a server that looks at the
/// standby's log before it has grown past the lost messages notices the loss without the mutated check.
const TRIALS: usize = 2;

/// The most rounds of a mutant: some are caught only by a kill at the right moment.
const MAX_ROUNDS: usize = 8;

/// The number of rounds of the control.
const CONTROL_ROUNDS: usize = 2;

/// The longest wait for the last answers of a mutant, which may never come.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The same for the control, whose answers come even on a slow machine.
const CONTROL_LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns limits that do not judge speed. A mutant may never recover, so the wait for it is short.
const fn limits(recovery: Duration) -> Limits {
    Limits { recovery, answer: None, ready: WAIT_TIMEOUT, log: ExpectedLog::Complete }
}

/// Returns the fault that reveals a mutant, where kills do not.
fn fault(name: &str) -> Option<Fault> {
    match name {
        "fork-undetected" => Some(Fault::FailoverAsync),
        "in-doubt-rolled-back" => Some(Fault::FailoverSync),
        "epoch-ignored" => Some(Fault::MembershipEnded),
        _ => None,
    }
}

/// Returns the settings that a mutant needs to show often.
fn settings(name: &str) -> Option<(String, String)> {
    // Streams read pages only of what is no longer in memory.
    (name == "stale-page").then(|| ("HUB_MEMORY".to_owned(), "1KiB".to_owned()))
}

/// Returns the databases on which a mutant, or [`NO_MUTANT`], runs.
pub(crate) fn databases(name: &str) -> &'static [Database] {
    if let Some(fault) = fault(name) {
        return fault.databases();
    }
    if ON_POSTGRES.contains(&name) { &[Database::Sqlite, Database::Postgres] } else { &[Database::Sqlite] }
}

/// Runs a mutant until it is caught, or the control its number of times, and returns the violations.
pub(crate) async fn run(setup: &Setup, name: &str, database: Database) -> Result<Vec<String>> {
    for _ in 0..if name == NO_MUTANT { CONTROL_ROUNDS } else { MAX_ROUNDS } {
        let found = run_once(setup, name, database).await.with_context(|| format!("the mutant {name:?}"))?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

async fn run_once(setup: &Setup, name: &str, database: Database) -> Result<Vec<String>> {
    let chosen = (VARIABLE.to_owned(), name.to_owned());
    if let Some(fault) = fault(name) {
        return Ok(fault.round(setup, database, TRIALS, &[chosen]).await?.violations);
    }
    let mut plan = setup.plan();
    let mut limit = CONTROL_LAST_ANSWERS_TIMEOUT;
    if name != NO_MUTANT {
        plan.settings.push(chosen);
        plan.settings.extend(settings(name));
        limit = LAST_ANSWERS_TIMEOUT;
    }
    let mut round = Round::start(setup, plan, database, ClientMix::MIXED, limits(limit)).await?;
    for _ in 0..KILLS {
        sleep(KILL_INTERVAL).await;
        round.server.kill().await?;
        round.server.start_again().await?;
    }
    sleep(KILL_INTERVAL).await;
    Ok(round.finish(limit).await?.violations)
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

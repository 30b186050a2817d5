//! Servers that break the promise on purpose: the checker must catch each of them.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::{
    load::Crowd,
    round::{Database, Round, plan},
};

/// The names that `src/faults.rs` knows.
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
];

/// The variable that chooses one.
const VARIABLE: &str = "GRPCCHATTER_FAULT";

/// How long a mutant is left alone between two kills.
const SPELL: Duration = Duration::from_millis(400);

/// How often it is killed in one round.
const KILLS: usize = 3;

/// So many rounds does a mutant get to show itself: some need a kill at the right moment.
const ROUNDS: usize = 4;

/// How long answers are waited for at the end: a mutant may never give them.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Runs a mutant until it is caught, or a server without a fault if `name` is empty, and returns what the checker says.
pub(crate) async fn run(program: &Path, name: &str) -> Result<Vec<String>> {
    for _ in 0..ROUNDS {
        let found = run_once(program, name).await.with_context(|| format!("the mutant {name:?}"))?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

async fn run_once(program: &Path, name: &str) -> Result<Vec<String>> {
    let mut plan = plan(program);
    if !name.is_empty() {
        plan.settings.push((VARIABLE.to_owned(), name.to_owned()));
    }
    let mut round = Round::start(plan, Database::Sqlite, Crowd::MIXED).await?;
    for _ in 0..KILLS {
        sleep(SPELL).await;
        round.server.kill().await?;
        round.server.again().await?;
    }
    sleep(SPELL).await;
    Ok(round.judge(PATIENCE).await?.violations)
}

//! What all attacks share: each runs on a thread of its own, beside a bystander, while the server's memory is watched.

use std::{cell::RefCell, net::SocketAddr, thread, time::Duration};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::{activity::Activity, fixture::Fixture};
use crate::{
    cases::Scale,
    load::{bystander::CallStats, flood::Tally},
    process::Process,
    report::Row,
    server::Gateway,
};

/// The time between two looks at the server's memory.
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);

/// What every attack is run with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) fixture: &'a Fixture,
    pub(super) scale: Scale,
}

/// The server's memory during an attack, in MB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) before: f64,
    pub(super) highest: f64,
    /// Whether the server survived.
    pub(super) survived: bool,
}

impl Context<'_> {
    /// Runs an attack on a gateway of its own, beside one activity. Returns the outcome of the attack, and the rows of the
    /// activity and the memory.
    ///
    /// # Errors
    /// As [`run_beside`].
    pub(super) async fn run<T: Send + 'static>(
        self,
        name: &str,
        activity: Activity,
        bounds: Bounds,
        attack: impl FnOnce(SocketAddr) -> Result<T> + Send + 'static,
    ) -> Result<(T, Vec<Row>)> {
        let process = self.gateway.start_limited(&[]).await?;
        let mut before = activity.measure_quiet(process.address, self.fixture, self.scale).await;
        let (outcome, stats, memory) = run_beside(&process, self.fixture, &[activity], attack).await?;
        drop(process);
        let mut rows = Vec::new();
        for mut during in stats {
            rows.extend(activity_rows(name, activity, &mut before, &mut during, bounds));
        }
        rows.push(memory_row(name, memory));
        Ok((outcome, rows))
    }
}

/// Runs an attack on a thread of its own; returns its outcome, the statistics of each activity beside it, and the memory.
///
/// # Errors
/// If the attack fails. A refused call is no failure: the attack counts it.
pub(super) async fn run_beside<T: Send + 'static>(
    process: &Process,
    fixture: &Fixture,
    activities: &[Activity],
    attack: impl FnOnce(SocketAddr) -> Result<T> + Send + 'static,
) -> Result<(T, Vec<CallStats>, Memory)> {
    let (address, before) = (process.address, process.resident()? / 1024.0);
    let attack = thread::spawn(move || attack(address));
    let highest = RefCell::new(before);
    let watch_memory = async {
        while !attack.is_finished() {
            // If the process has been killed, the last figure stays.
            if let Ok(now) = process.highest() {
                highest.replace(now / 1024.0);
            }
            sleep(MEMORY_INTERVAL).await;
        }
    };
    let over = |_| attack.is_finished();
    let activities = activities.iter().map(|activity| activity.repeat_until(address, fixture, over));
    let (stats, ()) = tokio::join!(join_all(activities), watch_memory);
    let survived = process.resident().is_ok();
    let outcome = attack.join().ok().context("an attack panicked")??;
    Ok((outcome, stats, Memory { before, highest: highest.take(), survived }))
}

/// The most that a figure may be during an attack, given the figure before it.
pub(super) type Bound = fn(f64) -> f64;

/// The bounds of the p50 and the p99 of an activity.
pub(super) type Bounds = [Option<Bound>; 2];

/// Three times the figure before, but at least 50 ms, which no user notices.
pub(super) fn noticeable(before: f64) -> f64 {
    f64::max(3.0 * before, 50.0)
}

/// Twice the figure before.
pub(super) fn twice(before: f64) -> f64 {
    2.0 * before
}

/// Returns the rows of one activity beside an attack.
pub(super) fn activity_rows(
    attack: &str,
    activity: Activity,
    before: &mut CallStats,
    during: &mut CallStats,
    bounds: Bounds,
) -> Vec<Row> {
    let name = activity.name();
    let mut rows = Vec::new();
    for (share, bound) in [(0.5, bounds[0]), (0.99, bounds[1])] {
        let quiet = before.latencies.quantile(share);
        let answered = during.latencies.len() > 0;
        let attacked = if answered { during.latencies.quantile(share) } else { f64::NAN };
        let row = Row::new(format!("{attack}: p{} of {name}, ms (before)", share * 100.0), attacked);
        rows.push(match bound {
            Some(bound) if answered => row.beside(quiet).at_most(bound(quiet), quiet),
            _ => row.beside(quiet),
        });
    }
    let failed = format!("{attack}: {name} refused or failed (of)");
    rows.push(Row::new(failed, f64::from(during.failed)).beside(during.calls() as f64).at_most(0.0, 0.0));
    rows
}

/// Returns the row of the attack's own calls.
pub(super) fn tally_row(attack: &str, tally: Tally) -> Row {
    let name = format!("{attack}: calls of the attack answered (refused)");
    Row::new(name, tally.answered as f64).beside(tally.refused as f64)
}

/// Returns the row of the highest memory during an attack.
pub(super) fn memory_row(attack: &str, memory: Memory) -> Row {
    Row::new(format!("{attack}: highest memory, MB (before)"), memory.highest).beside(memory.before)
}

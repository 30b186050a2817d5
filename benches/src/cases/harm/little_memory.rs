//! Attacks on the memory of a server that has little, beside a bystander who sends messages.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    activity::Activity,
    attack::{Context, Memory, activity_rows, memory_row, run_beside, tally_row},
};
use crate::{
    cgroup::MemoryCgroup,
    load::{bystander::CallStats, flood::Tally},
    process::Process,
    report::Row,
};

const ACTIVITY: Activity = Activity::SendMessage;
/// The time after an attack at which the memory is measured again.
const AFTER: Duration = Duration::from_secs(15);
/// The same in a quick run.
const AFTER_QUICK: Duration = Duration::from_secs(2);

/// The memory that the server has, and the floors and goals of what it uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The limit of its cgroup, in MiB.
    pub(super) mebibytes: u32,
    /// The floor and the goal of the highest memory during the attack, in MB, given the memory before.
    pub(super) highest: fn(f64) -> [f64; 2],
    /// The same for the memory some time after the attack.
    pub(super) after: fn(f64) -> [f64; 2],
}

/// What was measured in one run of an attack.
struct Measured {
    before: CallStats,
    tally: Tally,
    during: Vec<CallStats>,
    memory: Memory,
    /// The memory some time after the attack, in MB; NaN if the server was killed.
    after: f64,
}

/// Runs the attack that `prepare` returns on a server in a cgroup. If the server is killed there, runs the attack again
/// without a cgroup, to see how much memory it takes.
///
/// # Errors
/// If the attack fails.
pub(super) async fn run<A: FnOnce(SocketAddr) -> Result<Tally> + Send + 'static>(
    context: Context<'_>,
    name: &str,
    limits: Limits,
    prepare: impl Fn(&Process) -> Result<A>,
) -> Result<Vec<Row>> {
    let attack = async |tool: &[&str]| {
        let process = context.gateway.start_limited(tool).await?;
        let attack = prepare(&process)?;
        measure(context, &process, attack).await
    };
    let killed = format!("{name}: killed in {} MiB", limits.mebibytes);
    let (measured, killed) = match MemoryCgroup::make(limits.mebibytes) {
        None => {
            let row = Row::new(format!("{killed}: not measured, no cgroup can be made"), f64::NAN);
            (attack(&[]).await?, row)
        }
        Some(cgroup) => {
            let measured = attack(&cgroup.launcher().each_ref().map(String::as_str)).await?;
            drop(cgroup);
            match measured.memory.survived {
                true => (measured, Row::new(killed, 0.0).at_most(0.0, 0.0)),
                false => (attack(&[]).await?, Row::new(killed, 1.0).at_most(0.0, 0.0)),
            }
        }
    };
    let Measured { mut before, tally, during, memory, after } = measured;
    let mut rows = vec![tally_row(name, tally)];
    for mut during in during {
        rows.extend(activity_rows(name, ACTIVITY, &mut before, &mut during, [None, None]));
    }
    let [floor, goal] = (limits.highest)(memory.before);
    rows.push(memory_row(name, memory).at_most(floor, goal));
    let [floor, goal] = (limits.after)(memory.before);
    let after = Row::new(format!("{name}: memory some time after, MB (before)"), after);
    rows.push(after.beside(memory.before).at_most(floor, goal));
    rows.push(killed);
    Ok(rows)
}

async fn measure(
    context: Context<'_>,
    process: &Process,
    attack: impl FnOnce(SocketAddr) -> Result<Tally> + Send + 'static,
) -> Result<Measured> {
    let Context { fixture, scale, .. } = context;
    let before = ACTIVITY.measure_quiet(process.address, fixture, scale).await;
    let (tally, during, memory) = run_beside(process, fixture, &[ACTIVITY], attack).await?;
    if memory.survived {
        sleep(if scale.quick { AFTER_QUICK } else { AFTER }).await;
    }
    let after = process.resident().map_or(f64::NAN, |resident| resident / 1024.0);
    Ok(Measured { before, tally, during, memory, after })
}

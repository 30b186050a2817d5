//! PostgreSQL is killed, and its standby is promoted.

use std::time::Duration;

use anyhow::{Context as _, Result};
use grpcchatter_testbed::{Link, Postgres, Proxy};
use rustix::process::Signal;
use tokio::time::sleep;

use super::DISTURBANCE;
use crate::round::Round;

/// The number of messages that are acknowledged in each room and missing on an asynchronous standby. They are few, so that
/// the standby's log grows past them before the server compares its length.
const LOST: i64 = 5;

/// Terminates the backends that wait for the standby, and says whether there were any.
const TERMINATE_WAITING: &str =
    "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/// How many times the backends that wait for the standby are terminated.
const TERMINATIONS: usize = 3;

/// Kills a primary whose commits wait for the standby.
pub(super) async fn with_synchronous_standby(round: &mut Round) -> Result<()> {
    let (_link, standby) = synchronous_standby(round).await?;
    promote(round, standby).await
}

/// The same, but cuts the standby off first, and terminates the backends that wait for it. Their messages are visible from
/// then on, but exist on the primary alone, and are lost with it.
pub(super) async fn with_cut_off_standby(round: &mut Round) -> Result<()> {
    let (link, standby) = synchronous_standby(round).await?;
    link.set(Link::Closed);
    let primary = round.postgres.as_ref().context("no PostgreSQL")?;
    for _ in 0..TERMINATIONS {
        primary.until(TERMINATE_WAITING).await?;
        // Time for a faulty server to acknowledge and deliver the visible messages.
        sleep(DISTURBANCE / 2).await;
    }
    promote(round, standby).await
}

/// Starts a standby for which every commit waits, and the proxy by which it follows the primary.
async fn synchronous_standby(round: &Round) -> Result<(Proxy, Postgres)> {
    let primary = round.postgres.as_ref().context("no PostgreSQL")?;
    let link = Proxy::start(primary.address()).await?;
    let standby = primary.standby(link.address()).await?;
    primary.make_standby_synchronous().await?;
    sleep(Duration::from_millis(fastrand::u64(10..500))).await;
    Ok((link, standby))
}

/// Kills a primary whose commits do not wait for the standby, which lacks the newest messages.
pub(super) async fn with_asynchronous_standby(round: &mut Round) -> Result<()> {
    let primary = round.postgres.as_ref().context("no PostgreSQL")?;
    let link = Proxy::start(primary.address()).await?;
    let standby = primary.standby(link.address()).await?;
    link.set(Link::Stalled);
    round.wait_for_messages(LOST).await?;
    promote(round, standby).await?;
    // The log grows past every message that a client has received.
    round.wait_for_messages(4 * LOST).await
}

/// Kills the primary, promotes the standby, and connects the server to it.
async fn promote(round: &mut Round, standby: Postgres) -> Result<()> {
    round.postgres.as_mut().context("no PostgreSQL")?.end(Signal::KILL).await?;
    standby.promote().await?;
    let proxy = round.database_proxy.as_ref().context("no proxy")?;
    proxy.set_target(standby.address());
    proxy.cut();
    round.postgres = Some(standby);
    Ok(())
}

//! PostgreSQL is lost, and its standby takes over.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tokio::time::sleep;

use super::strikes::SPELL;
use crate::{
    postgres::Postgres,
    proxy::Proxy,
    record::until,
    round::{PATIENCE, Round},
};

/// So many messages are acknowledged in each room that an asynchronous standby does not get. They are few, so that the log
/// has grown beyond them before anybody looks how long it is.
const LOST: i64 = 5;

/// So many times those who wait for a standby that is gone are ended.
const ENDED: usize = 3;

/// Loses a server for whose standby every commit waited. Where the standby is cut off first, the backends that wait for it
/// are ended: what they have stored is seen from then on, and goes with the server.
pub(super) async fn with_synchronous_standby(round: &mut Round, cut_first: bool) -> Result<()> {
    let primary = round.postgres.as_ref().context("no PostgreSQL")?;
    let link = Proxy::start(primary.address()).await?;
    let standby = primary.standby(link.address()).await?;
    primary.wait_for_the_standby().await?;
    sleep(Duration::from_millis(fastrand::u64(10..500))).await;
    if cut_first {
        link.refuse(true);
        for _ in 0..ENDED {
            primary.end_those_who_wait().await?;
            // For so long the server could take for stored what it sees, and its streams tell it.
            sleep(SPELL / 2).await;
        }
    }
    take_over(round, standby).await
}

/// Loses a server for whose standby nobody waited, and which had a little more.
pub(super) async fn with_asynchronous_standby(round: &mut Round) -> Result<()> {
    let primary = round.postgres.as_ref().context("no PostgreSQL")?;
    let link = Proxy::start(primary.address()).await?;
    let standby = primary.standby(link.address()).await?;
    link.silence(true);
    let goals: Vec<i64> = round.seats.iter().map(|seat| round.record.newest(seat.room) + LOST).collect();
    let said = || round.seats.iter().zip(&goals).all(|(seat, goal)| round.record.newest(seat.room) >= *goal);
    ensure!(until(PATIENCE, said).await, "not enough is said");
    take_over(round, standby).await?;
    // The log grows beyond everything that anybody heard.
    round.said(4 * LOST).await
}

async fn take_over(round: &mut Round, standby: Postgres) -> Result<()> {
    round.postgres.as_mut().context("no PostgreSQL")?.end(Signal::KILL).await?;
    standby.promote().await?;
    round.database.as_ref().context("no proxy")?.swing(standby.address());
    round.postgres = Some(standby);
    Ok(())
}

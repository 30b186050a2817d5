//! What is done to the server and around it.

use std::{io::Write as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Signal, geteuid};
use tokio::time::sleep;

use crate::{
    load::Crowd,
    proxy::AtCommit,
    round::{Database, Outcome, Round, plan},
};

/// The size of a disk that fills up, in MiB.
const DISK: u32 = 32;

/// A fault, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// The server is killed by SIGKILL, at any moment.
    Kill,
    /// The server is stopped by SIGSTOP for a while.
    Freeze,
    /// PostgreSQL is restarted: fast, that is after its clients were cut off.
    PostgresFast,
    /// PostgreSQL is restarted without a checkpoint.
    PostgresImmediate,
    /// PostgreSQL is killed by SIGKILL.
    PostgresKill,
    /// The server is cut off from its database.
    Cut,
    /// The server is cut off from its database while it commits.
    CutAtCommit,
    /// Somebody else holds the row of one of the rooms.
    LockedRow,
    /// The disk is full.
    DiskFull,
    /// The clients' connections are reset.
    ClientsReset,
    /// The clients fall silent without closing anything.
    ClientsHalfOpen,
}

impl Fault {
    /// All of them, in the order of the table.
    pub(crate) const ALL: &[Self] = &[
        Self::Kill,
        Self::Freeze,
        Self::PostgresFast,
        Self::PostgresImmediate,
        Self::PostgresKill,
        Self::Cut,
        Self::CutAtCommit,
        Self::LockedRow,
        Self::DiskFull,
        Self::ClientsReset,
        Self::ClientsHalfOpen,
    ];

    /// Returns the databases on which it can happen.
    pub(crate) const fn databases(self) -> &'static [Database] {
        match self {
            Self::Kill | Self::Freeze => &[Database::Sqlite, Database::Postgres],
            Self::DiskFull | Self::ClientsReset | Self::ClientsHalfOpen => &[Database::Sqlite],
            _ => &[Database::Postgres],
        }
    }

    /// Returns how often it happens in the short form and in the long one.
    pub(crate) const fn trials(self, long: bool) -> usize {
        match (self, long) {
            (Self::Kill, true) => 1_000,
            (Self::Kill, false) => 12,
            (Self::ClientsReset, true) => 1_000,
            (Self::ClientsReset, false) => 20,
            (Self::PostgresFast | Self::PostgresImmediate | Self::PostgresKill, true) => 70,
            (_, true) => 100,
            (_, false) => 4,
        }
    }

    /// Does it once, and undoes it.
    async fn strike(self, round: &mut Round, nth: usize, long: bool) -> Result<()> {
        match self {
            Self::Kill => {
                round.server.kill().await?;
                round.server.again().await
            }
            Self::Freeze => {
                round.server.signal(Signal::STOP)?;
                sleep(if long { Duration::from_secs(5) } else { Duration::from_millis(1_500) }).await;
                round.server.signal(Signal::CONT)
            }
            Self::PostgresFast => restart(round, Signal::INT).await,
            Self::PostgresImmediate => restart(round, Signal::QUIT).await,
            Self::PostgresKill => restart(round, Signal::KILL).await,
            Self::Cut => {
                let proxy = round.database.as_ref().context("no proxy")?;
                proxy.refuse(true);
                sleep(Duration::from_millis(fastrand::u64(100..1_500))).await;
                proxy.refuse(false);
                Ok(())
            }
            Self::CutAtCommit => {
                let proxy = round.database.as_ref().context("no proxy")?;
                proxy.cut_at_commit(if nth.is_multiple_of(2) { AtCommit::After } else { AtCommit::Before });
                while proxy.waits_for_commit() {
                    sleep(Duration::from_millis(1)).await;
                }
                Ok(())
            }
            Self::LockedRow => lock_a_room(round).await,
            Self::DiskFull => fill_the_disk(round).await,
            Self::ClientsReset => {
                round.front.cut();
                Ok(())
            }
            Self::ClientsHalfOpen => {
                round.front.silence(true);
                sleep(Duration::from_secs(6)).await;
                round.front.silence(false);
                Ok(())
            }
        }
    }

    /// Returns what it needs and this machine lacks.
    pub(crate) fn lacks(self) -> Option<&'static str> {
        match self {
            Self::DiskFull if !geteuid().is_root() => Some("root, who may mount a small disk"),
            _ => None,
        }
    }

    /// Runs a round of so many trials.
    pub(crate) async fn round(
        self,
        program: &Path,
        database: Database,
        trials: usize,
        long: bool,
    ) -> Result<Outcome> {
        let mut plan = plan(program);
        if self == Self::DiskFull {
            plan.disk = Some(DISK);
        }
        let mut round = Round::start(plan, database, Crowd::MIXED).await?;
        for nth in 0..trials {
            sleep(Duration::from_millis(fastrand::u64(10..500))).await;
            self.strike(&mut round, nth, long).await?;
            round.healed().await?;
        }
        round.judge(Duration::from_secs(10)).await
    }
}

async fn restart(round: &mut Round, signal: Signal) -> Result<()> {
    let postgres = round.postgres.as_mut().context("no PostgreSQL")?;
    postgres.end(signal).await?;
    sleep(Duration::from_millis(fastrand::u64(0..500))).await;
    postgres.again().await
}

/// Holds the row of the first room for a while. The others must go on meanwhile.
async fn lock_a_room(round: &mut Round) -> Result<()> {
    let postgres = round.postgres.as_ref().context("no PostgreSQL")?;
    let hold = "BEGIN; SELECT id FROM rooms ORDER BY id LIMIT 1 FOR UPDATE; SELECT pg_sleep(3); COMMIT";
    let mut holder = postgres.client("psql");
    let mut holder = holder
        .args(["--dbname=nemesis", "--command", hold])
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    sleep(Duration::from_millis(500)).await;
    round.healed_in(&[1]).await?;
    if !holder.wait().await?.success() {
        bail!("psql could not hold the row");
    }
    Ok(())
}

/// Leaves no space for the log, and takes the space back once somebody was told. What is stored can be read meanwhile.
async fn fill_the_disk(round: &mut Round) -> Result<()> {
    let ballast = round.server.data().join("ballast");
    let mut file = std::fs::File::create(&ballast)?;
    let piece = vec![1; 4096];
    while file.write_all(&piece).is_ok() {}
    drop(file);
    round.refused("full").await?;
    ensure!(
        round.read().await.context("the disk is full, and the log cannot be read")? > 0,
        "the log is empty"
    );
    Ok(std::fs::remove_file(ballast)?)
}

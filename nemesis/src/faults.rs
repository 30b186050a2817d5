//! The faults: where they can happen, how often, what they may cost, and who is there.

mod deletion;
mod failover;
mod half_open;
mod jail;
mod needs;
mod stopped;
mod strikes;

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use self::{half_open::Link, jail::Jail};
pub(crate) use self::{half_open::be_silent, needs::Lack};
use crate::{
    bench::{Bench, Database},
    load::Crowd,
    outcome::Outcome,
    round::{Kept, Limits, Round},
    server::Plan,
};

/// The short form allows so many times what the promise does: it must not fail because the machine is busy with something
/// else. What was reached stands in its table all the same.
const LENIENCE: u32 = 3;

/// The answers to what is unanswered at the end of a round are waited for so long.
const LAST_ANSWERS: Duration = Duration::from_secs(20);

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
    /// PostgreSQL is killed, and a standby takes over for which every commit waited.
    FailoverSync,
    /// The same, with a standby for which nobody waited: what is lost must be reported, and told.
    FailoverAsync,
    /// The server is cut off from its database.
    Cut,
    /// The server is cut off from its database while it commits.
    CutAtCommit,
    /// Somebody else holds the row of one of the rooms.
    LockedRow,
    /// The disk is full.
    DiskFull,
    /// fdatasync fails.
    FsyncFails,
    /// Nothing is broken: the trace shows that every answer leaves after its fdatasync.
    AckAfterSync,
    /// The clock jumps by an hour or a day, there and back.
    ClockJumps,
    /// The server may use 256 MiB of memory, and hundreds of streams that read nothing want more.
    LittleMemory,
    /// The server may open 256 files, and clients want more.
    FewDescriptors,
    /// The clients' connections are reset.
    ClientsReset,
    /// The clients fall silent without closing anything.
    ClientsHalfOpen,
    /// Streams read nothing, in rooms in which others go on.
    StoppedReaders,
    /// Hundreds of streams come back at once, or thousands in the long form.
    StreamsBack,
    /// Everybody sends each message one to five times at once.
    FiveAtOnce,
    /// A room is deleted in which somebody talks and others listen.
    RoomDeleted,
    /// What is older than a few seconds is removed.
    Retention,
}

impl Fault {
    /// All of them, in the order of the table.
    pub(crate) const ALL: &[Self] = &[
        Self::Kill,
        Self::Freeze,
        Self::PostgresFast,
        Self::PostgresImmediate,
        Self::PostgresKill,
        Self::FailoverSync,
        Self::FailoverAsync,
        Self::Cut,
        Self::CutAtCommit,
        Self::LockedRow,
        Self::DiskFull,
        Self::FsyncFails,
        Self::AckAfterSync,
        Self::ClockJumps,
        Self::LittleMemory,
        Self::FewDescriptors,
        Self::ClientsReset,
        Self::ClientsHalfOpen,
        Self::StoppedReaders,
        Self::StreamsBack,
        Self::FiveAtOnce,
        Self::RoomDeleted,
        Self::Retention,
    ];

    /// Returns the databases on which it can happen.
    pub(crate) const fn databases(self) -> &'static [Database] {
        match self {
            Self::Kill | Self::Freeze | Self::FiveAtOnce | Self::RoomDeleted | Self::Retention => {
                &[Database::Sqlite, Database::Postgres]
            }
            Self::PostgresFast
            | Self::PostgresImmediate
            | Self::PostgresKill
            | Self::FailoverSync
            | Self::FailoverAsync
            | Self::Cut
            | Self::CutAtCommit
            | Self::LockedRow => &[Database::Postgres],
            _ => &[Database::Sqlite],
        }
    }

    /// Returns how often it happens in the short form and in the long one.
    pub(crate) const fn trials(self, long: bool) -> usize {
        match (self, long) {
            (Self::Kill | Self::ClientsReset, true) => 1_000,
            (Self::Kill | Self::ClientsReset, false) => 12,
            (Self::PostgresFast | Self::PostgresImmediate | Self::PostgresKill, true) => 70,
            (Self::DiskFull | Self::FailoverSync, true) => 50,
            (Self::FailoverAsync, true) => 20,
            (Self::AckAfterSync | Self::StreamsBack | Self::LittleMemory | Self::FiveAtOnce, true) => 10,
            (Self::ClientsHalfOpen | Self::StoppedReaders, true) => 3,
            (_, true) => 100,
            (Self::LockedRow | Self::ClientsHalfOpen | Self::StreamsBack, false) => 1,
            (Self::FailoverAsync, false) => 1,
            (Self::StoppedReaders | Self::LittleMemory | Self::Retention, false) => 1,
            (_, false) => 3,
        }
    }

    /// Returns what it may cost: what the promise says, or in the short form some more.
    const fn limits(self, long: bool) -> Limits {
        let lenience = if long { 1 } else { LENIENCE };
        let recovery = Duration::from_secs(match self {
            Self::StreamsBack => 30,
            _ => 5,
        });
        let answer = match self {
            Self::PostgresFast
            | Self::PostgresImmediate
            | Self::PostgresKill
            | Self::FailoverSync
            | Self::FailoverAsync
            | Self::Cut
            | Self::CutAtCommit
            | Self::LockedRow
            | Self::DiskFull
            | Self::FsyncFails => Some(Duration::from_secs(3 * lenience as u64)),
            _ => None,
        };
        let ready = Duration::from_secs(1);
        let log = match self {
            Self::Retention => Kept::Newest,
            Self::FailoverAsync => Kept::NotWhatWasLost,
            _ => Kept::All,
        };
        Limits {
            recovery: recovery.saturating_mul(lenience),
            answer,
            ready: ready.saturating_mul(lenience),
            log,
        }
    }

    /// Returns how the server is run for it.
    fn plan(self, bench: &Bench) -> Plan {
        let mut plan = bench.plan();
        match self {
            Self::DiskFull => plan.disk = Some(strikes::DISK),
            Self::ClockJumps => plan.settings = strikes::clock(),
            Self::FewDescriptors => plan.under = strikes::few_descriptors(),
            Self::Retention => plan.settings.push(("RETENTION".to_owned(), strikes::KEPT.to_owned())),
            _ => {}
        }
        plan
    }

    /// Returns who is there.
    const fn crowd(self, long: bool) -> Crowd {
        match self {
            Self::Kill => Crowd { callers: 10, hasty: 5, talkers: 10, ..Crowd::MIXED },
            Self::StreamsBack if long => Crowd { herd: (500, 2_000), ..Crowd::MIXED },
            Self::StreamsBack => Crowd { herd: (50, 150), ..Crowd::MIXED },
            Self::StoppedReaders if long => {
                Crowd { callers: 6, talkers: 6, restless: false, herd: (20, 75), ..Crowd::MIXED }
            }
            Self::StoppedReaders => Crowd { restless: false, ..Crowd::MIXED },
            Self::FiveAtOnce => Crowd { callers: 0, hasty: 6, ..Crowd::MIXED },
            _ => Crowd::MIXED,
        }
    }

    /// Runs a round of so many trials, on a server with more settings than it needs.
    pub(crate) async fn round(
        self,
        bench: &Bench,
        database: Database,
        trials: usize,
        settings: &[(String, String)],
    ) -> Result<Outcome> {
        let long = bench.long;
        let mut plan = self.plan(bench);
        plan.settings.extend_from_slice(settings);
        // It outlives the round, whose server listens on it.
        let link = if self == Self::ClientsHalfOpen && long { Some(Link::make()?) } else { None };
        plan.host = link.as_ref().map_or(plan.host, Link::host);
        let mut round = Round::start(bench, plan, database, self.crowd(long), self.limits(long)).await?;
        let _jail = (self == Self::LittleMemory).then(|| Jail::around(round.server.pid()?)).transpose()?;
        let connections = round.front.carried() + round.ears.carried();
        for nth in 0..trials {
            sleep(Duration::from_millis(fastrand::u64(10..500))).await;
            match &link {
                Some(link) => half_open::strike(&mut round, link).await?,
                None => self.strike(&mut round, nth, long).await?,
            }
            round.healed().await?;
        }
        if self == Self::ClientsReset {
            let again = round.front.carried() + round.ears.carried() - connections;
            round.outcome.count("reconnects", again);
        }
        round.judge(LAST_ANSWERS).await
    }
}

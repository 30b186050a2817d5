//! The faults: where they can happen, how often, and what they need.

mod strikes;

use std::{path::Path, time::Duration};

use anyhow::Result;
use rustix::process::geteuid;
use tokio::time::sleep;

use self::strikes::Jail;
use crate::{
    load::Crowd,
    round::{Database, Outcome, Round, plan},
    server::Plan,
    trace::Trace,
};

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
    /// Everybody sends each message five times at once.
    FiveAtOnce,
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
    ];

    /// Returns the databases on which it can happen.
    pub(crate) const fn databases(self) -> &'static [Database] {
        match self {
            Self::Kill | Self::Freeze | Self::FiveAtOnce => &[Database::Sqlite, Database::Postgres],
            Self::PostgresFast
            | Self::PostgresImmediate
            | Self::PostgresKill
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
            (Self::StreamsBack | Self::StoppedReaders | Self::LittleMemory, true) => 10,
            (Self::DiskFull, true) => 50,
            (Self::FiveAtOnce, true) => 600,
            (_, true) => 100,
            (Self::LockedRow | Self::ClientsHalfOpen | Self::StreamsBack, false) => 1,
            (_, false) => 3,
        }
    }

    /// Returns what it needs and this machine lacks.
    pub(crate) fn lacks(self) -> Option<&'static str> {
        match self {
            Self::DiskFull if !geteuid().is_root() => Some("root, who may mount a small disk"),
            Self::FsyncFails | Self::AckAfterSync if !Trace::is_installed() => Some("strace"),
            Self::ClockJumps if strikes::libfaketime().is_none() => Some("libfaketime"),
            Self::LittleMemory if !Jail::is_possible() => Some("a cgroup of its own for memory"),
            _ => None,
        }
    }

    /// Returns how the server is run for it.
    fn plan(self, program: &Path) -> Plan {
        let mut plan = plan(program);
        match self {
            Self::DiskFull => plan.disk = Some(strikes::DISK),
            Self::ClockJumps => plan.settings = strikes::clock(),
            Self::FewDescriptors => plan.under = strikes::few_descriptors(),
            _ => {}
        }
        plan
    }

    /// Returns who is there.
    const fn crowd(self, long: bool) -> Crowd {
        match self {
            Self::StreamsBack if long => Crowd { native: 500, web: 2_000, ..Crowd::MIXED },
            Self::StreamsBack => Crowd { native: 50, web: 150, ..Crowd::MIXED },
            Self::FiveAtOnce => Crowd { callers: 0, hasty: 6, ..Crowd::MIXED },
            _ => Crowd::MIXED,
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
        let mut round = Round::start(self.plan(program), database, self.crowd(long)).await?;
        let _jail = (self == Self::LittleMemory).then(|| Jail::around(round.server.pid()?)).transpose()?;
        for nth in 0..trials {
            sleep(Duration::from_millis(fastrand::u64(10..500))).await;
            self.strike(&mut round, nth, long).await?;
            round.healed().await?;
        }
        round.judge(Duration::from_secs(10)).await
    }
}

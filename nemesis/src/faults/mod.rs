//! The faults: on which databases they run, how often, with which limits, and under which load.

mod cgroup;
mod clock;
mod failover;
mod half_open;
mod inject;
mod membership_end;
mod requirements;
mod room_deletion;
mod stopped_readers;

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use self::{cgroup::MemoryCgroup, half_open::VethLink};
pub(crate) use self::{half_open::hold_silent_streams, requirements::Missing};
use crate::{
    load::ClientMix,
    outcome::Outcome,
    round::{ExpectedLog, Limits, Round},
    server::Plan,
    setup::{Database, Setup},
};

/// The short form multiplies the promised limits by this: a build must not fail because the machine is busy. The table shows
/// what was measured in either form.
const SHORT_FORM_TOLERANCE: u32 = 3;

/// The longest wait for the last answers of a round.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(20);

/// The unit in which disturbances last.
const DISTURBANCE: Duration = Duration::from_secs(1);

/// The size of the disk that fills up, in MiB.
const DISK_MEBIBYTES: u32 = 32;

/// The setting RETENTION of the fault of that name: longer than it takes to read a log.
const RETENTION: &str = "5s";

/// The command that runs the server with at most 256 open files.
const FEW_DESCRIPTORS: [&str; 2] = ["prlimit", "--nofile=256"];

/// A fault, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// SIGKILL ends the server at a random moment, and it is restarted.
    Kill,
    /// SIGSTOP freezes the server for a while.
    Freeze,
    /// PostgreSQL is restarted after a fast shutdown (SIGINT), which disconnects its clients.
    PostgresFast,
    /// PostgreSQL is restarted after an immediate shutdown (SIGQUIT), without a checkpoint.
    PostgresImmediate,
    /// PostgreSQL is restarted after SIGKILL.
    PostgresKill,
    /// PostgreSQL is killed, and its synchronous standby is promoted.
    FailoverSync,
    /// PostgreSQL is killed, and an asynchronous standby that lacks the newest messages is promoted: streams that received a
    /// lost message must be reset.
    FailoverAsync,
    /// The connections between the server and PostgreSQL are cut and refused for a while.
    Cut,
    /// The connection to PostgreSQL that sends the next COMMIT is cut.
    CutAtCommit,
    /// Another session locks the row of a room.
    LockedRow,
    /// The disk is full.
    DiskFull,
    /// fdatasync fails.
    FsyncFails,
    /// fdatasync takes longer than a message may wait.
    FsyncStalls,
    /// Nothing is injected: a trace shows that every answer is sent after its fdatasync.
    AckAfterSync,
    /// The time of day jumps by an hour or a day, and back.
    ClockJumps,
    /// The server has 256 MiB of memory, and hundreds of streams that read nothing.
    LittleMemory,
    /// The server may open 256 files, and has more connections than that.
    FewDescriptors,
    /// The clients' connections are reset.
    ClientsReset,
    /// The clients' network fails without closing a connection.
    ClientsHalfOpen,
    /// Streams read nothing, in rooms in which others send and read.
    StoppedReaders,
    /// Hundreds of streams, or thousands in the long form, reconnect at once.
    StreamsBack,
    /// Each message is sent by one to five concurrent calls.
    FiveAtOnce,
    /// A room is deleted while clients send and read in it.
    RoomDeleted,
    /// Another process ends a membership whose member sends.
    MembershipEnded,
    /// RETENTION removes messages that are older than 5 s.
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
        Self::FsyncStalls,
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
        Self::MembershipEnded,
        Self::Retention,
    ];

    /// Returns the databases on which the fault runs.
    pub(crate) const fn databases(self) -> &'static [Database] {
        match self {
            Self::Kill
            | Self::Freeze
            | Self::FiveAtOnce
            | Self::RoomDeleted
            | Self::MembershipEnded
            | Self::Retention => &[Database::Sqlite, Database::Postgres],
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

    /// Returns the number of trials in the long or the short form.
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

    /// Returns the limits: the promised ones, or in the short form more lenient ones.
    const fn limits(self, long: bool) -> Limits {
        let tolerance = if long { 1 } else { SHORT_FORM_TOLERANCE };
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
            | Self::FsyncFails
            | Self::FsyncStalls => Some(Duration::from_secs(3 * tolerance as u64)),
            _ => None,
        };
        let ready = Duration::from_secs(1);
        let log = match self {
            Self::Retention => ExpectedLog::Suffix,
            Self::FailoverAsync => ExpectedLog::Lossy,
            _ => ExpectedLog::Complete,
        };
        Limits {
            recovery: recovery.saturating_mul(tolerance),
            answer,
            ready: ready.saturating_mul(tolerance),
            log,
        }
    }

    /// Returns how the server is started.
    fn plan(self, setup: &Setup) -> Plan {
        let mut plan = setup.plan();
        match self {
            Self::DiskFull => plan.disk = Some(DISK_MEBIBYTES),
            Self::ClockJumps => plan.settings = clock::environment(),
            Self::FewDescriptors => plan.under = FEW_DESCRIPTORS.map(str::to_owned).to_vec(),
            Self::Retention => plan.settings.push(("RETENTION".to_owned(), RETENTION.to_owned())),
            _ => {}
        }
        plan
    }

    /// Returns the load.
    const fn client_mix(self, long: bool) -> ClientMix {
        const MIXED: ClientMix = ClientMix::MIXED;
        match self {
            Self::Kill => ClientMix { callers: 10, concurrent_retriers: 5, chat_senders: 10, ..MIXED },
            Self::StreamsBack if long => ClientMix { mass_native: 500, mass_web: 2_000, ..MIXED },
            Self::StreamsBack => ClientMix { mass_native: 50, mass_web: 150, ..MIXED },
            Self::StoppedReaders if long => ClientMix {
                callers: 6,
                chat_senders: 6,
                reconnects: false,
                mass_native: 20,
                mass_web: 75,
                ..MIXED
            },
            Self::StoppedReaders => ClientMix { reconnects: false, ..MIXED },
            Self::FiveAtOnce => ClientMix { callers: 0, concurrent_retriers: 6, ..MIXED },
            _ => MIXED,
        }
    }

    /// Runs a round of `trials`, on a server with `settings` besides those of the fault.
    pub(crate) async fn round(
        self,
        setup: &Setup,
        database: Database,
        trials: usize,
        settings: &[(String, String)],
    ) -> Result<Outcome> {
        let long = setup.long;
        let mut plan = self.plan(setup);
        plan.settings.extend_from_slice(settings);
        // The server listens on the link's address, so the link must outlive the round.
        let link = if self == Self::ClientsHalfOpen && long { Some(VethLink::make()?) } else { None };
        plan.host = link.as_ref().map_or(plan.host, VethLink::host);
        let mut round = Round::start(setup, plan, database, self.client_mix(long), self.limits(long)).await?;
        let little_memory = self == Self::LittleMemory;
        let _cgroup = little_memory.then(|| MemoryCgroup::around(round.server.pid()?)).transpose()?;
        let connections = round.writer_proxy.accepted() + round.reader_proxy.accepted();
        for nth in 0..trials {
            sleep(Duration::from_millis(fastrand::u64(10..500))).await;
            match &link {
                Some(link) => half_open::cut_link(&mut round, link).await?,
                None => self.inject(&mut round, nth, long).await?,
            }
            round.wait_for_recovery().await?;
        }
        if self == Self::ClientsReset {
            let again = round.writer_proxy.accepted() + round.reader_proxy.accepted() - connections;
            round.outcome.count("reconnects", again);
        }
        round.finish(LAST_ANSWERS_TIMEOUT).await
    }
}

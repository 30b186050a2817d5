//! How each fault is done once, and undone.

use std::{fs, io::Write as _, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{Fault, deletion, failover, stopped};
use crate::{
    proxy::AtCommit,
    record::until,
    round::{PATIENCE, Round},
    trace::{CALLS, Trace, early},
};

/// The size of a disk that fills up, in MiB.
pub(super) const DISK: u32 = 32;

/// How long a disturbance lasts.
pub(super) const SPELL: Duration = Duration::from_secs(1);

/// What makes fdatasync and fsync fail.
const INJECT: &[&str] = &["--trace=fdatasync,fsync", "--inject=fdatasync,fsync:error=EIO"];

/// So many connections are opened where the server may open 256 files.
const CONNECTIONS: usize = 400;

/// The streams that come back have missed so many messages.
const MISSED: i64 = 1_000;

/// Every so manieth time the server is frozen for a minute in the long form, and for five seconds otherwise.
const LONG_FREEZE: usize = 10;

/// A row is held so long at least: longer than the server waits for it.
const HELD: Duration = Duration::from_secs(3);

/// For so long messages are kept where old ones are removed: longer than it takes to read a log.
pub(super) const KEPT: &str = "5s";

/// Where the clock's file is, in the server's folder.
const CLOCK: &str = "clock";

/// How many commits the trace ignores at first: their answers may belong to messages that were stored before it began.
const WARM_UP: usize = 8;

impl Fault {
    /// Does it once, and undoes it.
    pub(super) async fn strike(self, round: &mut Round, nth: usize, long: bool) -> Result<()> {
        match self {
            Self::Kill => {
                round.server.kill().await?;
                round.restart().await
            }
            Self::Freeze => {
                let spells = match nth % LONG_FREEZE {
                    _ if !long => 1,
                    9 => 60,
                    _ => 5,
                };
                round.server.signal(Signal::STOP)?;
                sleep(spells * SPELL).await;
                round.server.signal(Signal::CONT)
            }
            Self::PostgresFast => restart(round, Signal::INT).await,
            Self::PostgresImmediate => restart(round, Signal::QUIT).await,
            Self::PostgresKill => restart(round, Signal::KILL).await,
            Self::FailoverSync => failover::with_synchronous_standby(round, nth.is_multiple_of(2)).await,
            Self::FailoverAsync => failover::with_asynchronous_standby(round).await,
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
                ensure!(until(PATIENCE, || !proxy.waits_for_commit()).await, "nothing is committed");
                Ok(())
            }
            Self::LockedRow => lock_a_room(round).await,
            Self::DiskFull => fill_the_disk(round).await,
            Self::FsyncFails => {
                let trace = Trace::attach(round.server.pid()?, round.server.folder(), INJECT).await?;
                round.refused("DATABASE_UNAVAILABLE").await?;
                trace.detach().await.map(drop)
            }
            Self::AckAfterSync => {
                let trace = Trace::attach(round.server.pid()?, round.server.folder(), CALLS).await?;
                sleep(if long { 5 * SPELL } else { SPELL }).await;
                let (told, early) = early(&trace.detach().await?, WARM_UP)?;
                round.outcome.count("answers after their fdatasync", told);
                for id in early {
                    round.blame(format!("{id} was told before its fdatasync had ended"));
                }
                Ok(())
            }
            Self::ClockJumps => {
                let jump = ["+1h", "-1h", "+1d", "-1d"][nth % 4];
                set_clock(round, jump)?;
                // Meanwhile a token may be of the future, and is refused then.
                sleep(SPELL).await;
                set_clock(round, "+0")
            }
            Self::LittleMemory => stopped::want_memory(round).await,
            Self::StoppedReaders => stopped::stop_reading(round, long).await,
            Self::RoomDeleted => deletion::delete_a_room(round).await,
            Self::FewDescriptors => {
                let mut connections = Vec::new();
                for _ in 0..CONNECTIONS {
                    connections.push(TcpStream::connect(round.server.address()).await?);
                }
                sleep(SPELL).await;
                round.server.must_run()
            }
            Self::ClientsReset => {
                round.front.cut();
                round.ears.cut();
                Ok(())
            }
            Self::ClientsHalfOpen => {
                round.front.silence(true);
                round.ears.silence(true);
                sleep(6 * SPELL).await;
                round.front.silence(false);
                round.ears.silence(false);
                Ok(())
            }
            Self::Retention => {
                // Some of what was said at its beginning is gone after it.
                sleep(8 * SPELL).await;
                Ok(())
            }
            Self::StreamsBack => {
                round.herd.be_here(false);
                round.said(MISSED).await?;
                round.outcome.count("streams came back", round.herd.size());
                round.herd.be_here(true);
                Ok(())
            }
            Self::FiveAtOnce => {
                let (before, more) = (round.record.sends(), if long { 10_000 } else { 500 });
                let enough = until(PATIENCE, || round.record.sends() >= before + more).await;
                ensure!(enough, "not enough is sent");
                round.outcome.count("sends", round.record.sends() - before);
                Ok(())
            }
        }
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
    const HOLDERS: &str = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let postgres = round.postgres.as_ref().context("no PostgreSQL")?;
    let hold = "BEGIN; SELECT id FROM rooms ORDER BY id LIMIT 1 FOR UPDATE; SELECT pg_sleep(600); COMMIT";
    let mut holder = postgres.client("psql");
    let mut holder = holder
        .args(["--dbname=nemesis", "--command", hold])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let held = async {
        while postgres.ask(&format!("SELECT count(*) {HOLDERS}")).await? == "0" {
            ensure!(holder.try_wait()?.is_none(), "psql cannot hold the row");
        }
        Ok(())
    };
    timeout(PATIENCE, held).await.context("nobody holds the row")??;
    sleep(HELD).await;
    round.healed_in(&[1]).await?;
    let postgres = round.postgres.as_ref().context("no PostgreSQL")?;
    let ended = postgres.ask(&format!("SELECT count(pg_terminate_backend(pid)) {HOLDERS}")).await?;
    ensure!(ended == "1", "the row was not held all the time");
    holder.wait().await?;
    Ok(())
}

/// Leaves no space for the log, and takes the space back once somebody was told. What is stored can be read meanwhile.
async fn fill_the_disk(round: &mut Round) -> Result<()> {
    let ballast = round.server.data().join("ballast");
    let mut file = fs::File::create(&ballast)?;
    let piece = vec![1; 4096];
    while file.write_all(&piece).is_ok() {}
    drop(file);
    round.refused("STORAGE_FULL").await?;
    ensure!(
        round.read().await.context("the disk is full, and the log cannot be read")? > 0,
        "the log is empty"
    );
    Ok(fs::remove_file(ballast)?)
}

/// Returns libfaketime's library, where it is installed.
pub(super) fn libfaketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
}

/// Sets the server's clock. The file is replaced as a whole: libfaketime ends a process that finds it empty.
fn set_clock(round: &Round, offset: &str) -> Result<()> {
    let (next, clock) = (round.server.folder().join("next-clock"), round.server.folder().join(CLOCK));
    fs::write(&next, offset)?;
    Ok(fs::rename(next, clock)?)
}

/// Returns the settings under which the server reads its clock from a file: the time of day alone.
pub(super) fn clock() -> Vec<(String, String)> {
    let library = libfaketime().unwrap_or_default();
    let settings = [
        ("LD_PRELOAD", library.to_str().unwrap_or_default()),
        ("FAKETIME_TIMESTAMP_FILE", CLOCK),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        // A jump by a day must not end the tokens of the round.
        ("CHAT_TOKEN_DURATION", "30d"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// Returns what runs the server with 256 descriptors.
pub(super) fn few_descriptors() -> Vec<String> {
    ["prlimit", "--nofile=256"].map(str::to_owned).to_vec()
}

//! How each fault is injected once, and healed.

use std::{fs, io::Write as _, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use grpcchatter_testbed::{CommitFault, Link};
use rustix::process::Signal;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{DISTURBANCE, Fault, clock, failover, membership_end, room_deletion, stopped_readers};
use crate::{
    fdatasync_order,
    record::wait_until,
    round::{DATABASE, Round, WAIT_TIMEOUT},
    strace::Strace,
};

/// The strace arguments that make fdatasync and fsync fail.
const FAIL_FSYNC: &[&str] = &["--trace=fdatasync,fsync", "--inject=fdatasync,fsync:error=EIO"];

/// The strace arguments that make them take 14 s: longer than even the short form lets an answer take.
const STALL_FSYNC: &[&str] = &["--trace=fdatasync,fsync", "--inject=fdatasync,fsync:delay_exit=14000000"];

/// The number of connections to a server that may open 256 files.
const CONNECTIONS: usize = 400;

/// The number of messages that the streams miss before they reconnect.
const MISSED: i64 = 1_000;

/// In the long form every tenth freeze lasts 60 s, and the others 5 s.
const LONG_FREEZE_EVERY: usize = 10;

/// The shortest time for which a row is locked: longer than the server waits for it.
const ROW_LOCK: Duration = Duration::from_secs(3);

/// The number of commits that a trace skips at first: their answers may belong to messages stored before it began.
const WARM_UP: usize = 8;

impl Fault {
    /// Injects the fault once, and heals it. `nth` counts the trials of a round.
    pub(super) async fn inject(self, round: &mut Round, nth: usize, long: bool) -> Result<()> {
        let is_even = nth.is_multiple_of(2);
        match self {
            Self::Kill => {
                round.server.kill().await?;
                round.restart().await
            }
            Self::Freeze => freeze(round, nth, long).await,
            Self::PostgresFast => restart_postgres(round, Signal::INT).await,
            Self::PostgresImmediate => restart_postgres(round, Signal::QUIT).await,
            Self::PostgresKill => restart_postgres(round, Signal::KILL).await,
            Self::FailoverSync if is_even => failover::with_cut_off_standby(round).await,
            Self::FailoverSync => failover::with_synchronous_standby(round).await,
            Self::FailoverAsync => failover::with_asynchronous_standby(round).await,
            Self::Cut => cut_database(round).await,
            Self::CutAtCommit => {
                let faults = [CommitFault::CutDuring, CommitFault::CutBefore, CommitFault::CutAfter];
                cut_at_commit(round, faults[nth % faults.len()]).await
            }
            Self::LockedRow => lock_row(round).await,
            Self::DiskFull => fill_disk(round).await,
            Self::FsyncFails => {
                let strace = Strace::attach(round.server.pid()?, round.server.folder(), FAIL_FSYNC).await?;
                round.wait_for_refusal("DATABASE_UNAVAILABLE").await?;
                strace.detach().await.map(drop)
            }
            Self::FsyncStalls => stall_disk(round).await,
            Self::AckAfterSync => check_fdatasync_order(round, long).await,
            Self::ClockJumps => {
                clock::set_offset(round, ["+1h", "-1h", "+1d", "-1d"][nth % 4])?;
                // Meanwhile the server refuses tokens that seem to be issued in the future.
                sleep(DISTURBANCE).await;
                clock::set_offset(round, "+0")
            }
            Self::LittleMemory => stopped_readers::use_memory(round).await,
            Self::FewDescriptors => open_many_connections(round).await,
            Self::ClientsReset => {
                round.writer_proxy.cut();
                round.reader_proxy.cut();
                Ok(())
            }
            Self::ClientsHalfOpen => silence_clients(round).await,
            Self::StoppedReaders => stopped_readers::stop_reading(round, long).await,
            Self::StreamsBack => reconnect_streams(round).await,
            Self::FiveAtOnce => send_repeatedly(round, if long { 10_000 } else { 500 }).await,
            Self::RoomDeleted => room_deletion::delete_a_room(round).await,
            Self::MembershipEnded => membership_end::end_membership(round).await,
            Self::Retention => {
                // Longer than RETENTION, so that it removes messages of this trial.
                sleep(8 * DISTURBANCE).await;
                Ok(())
            }
        }
    }
}

async fn freeze(round: &Round, nth: usize, long: bool) -> Result<()> {
    let duration = match nth % LONG_FREEZE_EVERY {
        _ if !long => DISTURBANCE,
        9 => 60 * DISTURBANCE,
        _ => 5 * DISTURBANCE,
    };
    round.server.signal(Signal::STOP)?;
    sleep(duration).await;
    round.server.signal(Signal::CONT)
}

async fn cut_database(round: &Round) -> Result<()> {
    let proxy = round.database_proxy.as_ref().context("no proxy")?;
    proxy.set(Link::Closed);
    sleep(Duration::from_millis(fastrand::u64(100..1_500))).await;
    proxy.set(Link::Open);
    Ok(())
}

async fn cut_at_commit(round: &Round, fault: CommitFault) -> Result<()> {
    let proxy = round.database_proxy.as_ref().context("no proxy")?;
    proxy.fail_commits([fault]);
    ensure!(wait_until(WAIT_TIMEOUT, || proxy.faults_left() == 0).await, "nothing is committed");
    Ok(())
}

/// Injects nothing: a trace shows whether every answer is sent after its fdatasync.
async fn check_fdatasync_order(round: &mut Round, long: bool) -> Result<()> {
    let arguments = fdatasync_order::STRACE_ARGUMENTS;
    let strace = Strace::attach(round.server.pid()?, round.server.folder(), arguments).await?;
    sleep(if long { 5 * DISTURBANCE } else { DISTURBANCE }).await;
    let answers = fdatasync_order::check(&strace.detach().await?, WARM_UP)?;
    round.outcome.count("answers after their fdatasync", answers.in_order.len());
    for id in answers.early {
        round.violated(format!("{id} was sent before its fdatasync had returned"));
    }
    Ok(())
}

async fn open_many_connections(round: &mut Round) -> Result<()> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(TcpStream::connect(round.server.address()).await?);
    }
    sleep(DISTURBANCE).await;
    round.server.ensure_running()
}

/// Stops all data between the clients and the server, without closing a connection.
async fn silence_clients(round: &Round) -> Result<()> {
    round.writer_proxy.set(Link::Stalled);
    round.reader_proxy.set(Link::Stalled);
    sleep(6 * DISTURBANCE).await;
    round.writer_proxy.set(Link::Open);
    round.reader_proxy.set(Link::Open);
    Ok(())
}

async fn reconnect_streams(round: &mut Round) -> Result<()> {
    round.mass_subscribers.disconnect();
    round.wait_for_messages(MISSED).await?;
    round.outcome.count("streams came back", round.mass_subscribers.count());
    round.mass_subscribers.reconnect();
    Ok(())
}

/// Waits for a number of sends; the load of this fault sends each message by up to five concurrent calls.
async fn send_repeatedly(round: &mut Round, more: usize) -> Result<()> {
    let before = round.record.finished_sends();
    let enough = wait_until(WAIT_TIMEOUT, || round.record.finished_sends() >= before + more).await;
    ensure!(enough, "too few messages are sent");
    round.outcome.count("sends", round.record.finished_sends() - before);
    Ok(())
}

async fn restart_postgres(round: &mut Round, signal: Signal) -> Result<()> {
    let postgres = round.postgres.as_mut().context("no PostgreSQL")?;
    postgres.end(signal).await?;
    sleep(Duration::from_millis(fastrand::u64(0..500))).await;
    postgres.start_again().await
}

/// Locks the row of the first room for a while. The other room must be served meanwhile.
async fn lock_row(round: &mut Round) -> Result<()> {
    const HOLDERS: &str = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let postgres = round.postgres.as_ref().context("no PostgreSQL")?;
    let hold = "BEGIN; SELECT id FROM rooms ORDER BY id LIMIT 1 FOR UPDATE; SELECT pg_sleep(600); COMMIT";
    let mut holder = postgres
        .psql(&postgres.url(DATABASE))
        .args(["--command", hold])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let locked = async {
        while postgres.query(&format!("SELECT count(*) {HOLDERS}")).await? == "0" {
            ensure!(holder.try_wait()?.is_none(), "psql cannot lock the row");
        }
        Ok(())
    };
    timeout(WAIT_TIMEOUT, locked).await.context("the row is not locked")??;
    sleep(ROW_LOCK).await;
    round.wait_for_recovery_in(&[1]).await?;
    let postgres = round.postgres.as_ref().context("no PostgreSQL")?;
    let ended = postgres.query(&format!("SELECT count(pg_terminate_backend(pid)) {HOLDERS}")).await?;
    ensure!(ended == "1", "the row was not locked all the time");
    holder.wait().await?;
    Ok(())
}

/// Fills the disk until a send is refused, and frees the space again. The log must be readable meanwhile.
async fn fill_disk(round: &mut Round) -> Result<()> {
    let ballast = round.server.data().join("ballast");
    let mut file = fs::File::create(&ballast)?;
    let block = vec![1; 4096];
    while file.write_all(&block).is_ok() {}
    drop(file);
    round.wait_for_refusal("STORAGE_FULL").await?;
    ensure!(
        round.read_log().await.context("the disk is full, and the log cannot be read")? > 0,
        "the log is empty"
    );
    Ok(fs::remove_file(ballast)?)
}

/// Stalls the disk until a message is refused.
async fn stall_disk(round: &mut Round) -> Result<()> {
    let strace = Strace::attach(round.server.pid()?, round.server.folder(), STALL_FSYNC).await?;
    round.wait_for_refusal("DATABASE_UNAVAILABLE").await?;
    strace.detach().await.map(drop)
}

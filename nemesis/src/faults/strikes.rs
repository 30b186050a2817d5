//! How each fault is done once, and undone.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use tokio::{net::TcpStream, time::sleep};

use super::Fault;
use crate::{
    client::Web,
    proxy::AtCommit,
    round::Round,
    trace::{CALLS, Trace, early},
};

/// The size of a disk that fills up, in MiB.
pub(super) const DISK: u32 = 32;

/// How long a disturbance lasts.
const SPELL: Duration = Duration::from_secs(1);

/// What makes fdatasync and fsync fail.
const INJECT: &[&str] = &["--trace=fdatasync,fsync", "--inject=fdatasync,fsync:error=EIO"];

/// So many connections are opened where the server may open 256 files.
const CONNECTIONS: usize = 400;

/// So many streams read nothing.
const STOPPED: usize = 200;

/// The memory that the server gets where it gets little.
const MEMORY: &str = "256M";

/// Where the clock's file is, in the server's folder.
const CLOCK: &str = "clock";

impl Fault {
    /// Does it once, and undoes it.
    pub(super) async fn strike(self, round: &mut Round, nth: usize, long: bool) -> Result<()> {
        match self {
            Self::Kill => {
                round.server.kill().await?;
                round.server.again().await
            }
            Self::Freeze => {
                round.server.signal(Signal::STOP)?;
                sleep(if long { 5 * SPELL } else { SPELL }).await;
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
            Self::FsyncFails => {
                let trace = Trace::attach(round.server.pid()?, round.server.folder(), INJECT).await?;
                round.refused("database cannot be reached").await?;
                trace.detach().await.map(drop)
            }
            Self::AckAfterSync => {
                let trace = Trace::attach(round.server.pid()?, round.server.folder(), CALLS).await?;
                sleep(if long { 5 * SPELL } else { SPELL }).await;
                let (told, early) = early(&trace.detach().await?)?;
                round.traced(told, &early);
                Ok(())
            }
            Self::ClockJumps => {
                let jump = ["+1h", "-1h", "+1d", "-1d"][nth % 4];
                fs::write(round.server.folder().join(CLOCK), jump)?;
                // Meanwhile a token may be of the future, and is refused then.
                sleep(SPELL).await;
                Ok(fs::write(round.server.folder().join(CLOCK), "+0")?)
            }
            Self::LittleMemory | Self::StoppedReaders => stop_reading(round).await,
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
            Self::StreamsBack => {
                let goal = round.acknowledged() + 1_000;
                round.ears.refuse(true);
                while round.acknowledged() < goal {
                    sleep(Duration::from_millis(10)).await;
                }
                round.ears.refuse(false);
                Ok(())
            }
            Self::FiveAtOnce => {
                sleep(SPELL).await;
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
    let postgres = round.postgres.as_ref().context("no PostgreSQL")?;
    let hold = "BEGIN; SELECT id FROM rooms ORDER BY id LIMIT 1 FOR UPDATE; SELECT pg_sleep(3); COMMIT";
    let mut holder = postgres.client("psql");
    let mut holder = holder
        .args(["--dbname=nemesis", "--command", hold])
        .stdout(Stdio::null())
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
    let mut file = fs::File::create(&ballast)?;
    let piece = vec![1; 4096];
    while file.write_all(&piece).is_ok() {}
    drop(file);
    round.refused("storage is full").await?;
    ensure!(
        round.read().await.context("the disk is full, and the log cannot be read")? > 0,
        "the log is empty"
    );
    Ok(fs::remove_file(ballast)?)
}

/// Opens streams that read nothing. The others must go on meanwhile.
async fn stop_reading(round: &mut Round) -> Result<()> {
    let mut stopped = Vec::new();
    for nth in 0..STOPPED {
        let seat = &round.seats[nth % round.seats.len()];
        stopped.push(Web::open_after_nothing(round.server.address(), &seat.token).await?);
    }
    sleep(SPELL).await;
    round.healed().await
}

/// Returns libfaketime's library, where it is installed.
pub(super) fn libfaketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
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

/// A cgroup with little memory. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Jail(PathBuf);

impl Jail {
    /// Says whether a cgroup can be made: of version 1, or of version 2 where memory is delegated.
    pub(super) fn is_possible() -> bool {
        Self::make().is_ok()
    }

    /// Puts a process into a cgroup.
    pub(super) fn around(process: Pid) -> Result<Self> {
        let jail = Self::make()?;
        fs::write(jail.0.join("cgroup.procs"), process.as_raw_nonzero().to_string())?;
        Ok(jail)
    }

    fn make() -> Result<Self> {
        let name = format!("nemesis-{}", std::process::id());
        let mounts = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        for (mount, limit) in mounts {
            let folder = Path::new(mount).join(&name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let jail = Self(folder);
            if fs::write(jail.0.join(limit), MEMORY).is_ok() {
                return Ok(jail);
            }
        }
        bail!("there is no cgroup for memory")
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        // It fails while the process has not ended; an empty cgroup that stays harms nobody.
        drop(fs::remove_dir(&self.0));
    }
}

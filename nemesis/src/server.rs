//! The server under test, as a process that can be killed, frozen and started again on what it kept.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// The longest that a start may take, under a tracer too.
const START: Duration = Duration::from_secs(30);

/// Limits that would stop the load; 0 is none.
const UNLIMITED: [&str; 13] = [
    "ANONYMOUS_CALLS",
    "ANONYMOUS_PER_SECOND",
    "CALLS_PER_USER",
    "CONNECTION_AGE",
    "GUESSES_PER_HOUR",
    "MAX_CONNECTIONS_PER_ADDRESS",
    "MESSAGES_PER_SECOND",
    "READS_PER_SECOND",
    "REGISTRATIONS_PER_HOUR",
    "ROOMS_PER_USER",
    "SESSIONS_PER_USER",
    "STREAMS_PER_USER",
    "WRITES_PER_SECOND",
];

/// Signs the tokens of the rounds.
const SECRET: &str = "the-nemesis-signs-with-what-is-no-secret";

/// How the server is started.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The program.
    pub(crate) program: PathBuf,
    /// Where its PostgreSQL is; SQLite in its folder without one.
    pub(crate) database_url: Option<String>,
    /// What runs it, with its arguments: a tracer, a limiter.
    pub(crate) under: Vec<String>,
    /// More of its environment.
    pub(crate) settings: Vec<(String, String)>,
    /// The size of the disk that it gets, in MiB; the machine's without one.
    pub(crate) disk: Option<u32>,
    /// The address on which it listens.
    pub(crate) host: Ipv4Addr,
}

/// The server, running or not. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    running: Option<Child>,
    _disk: Option<Disk>,
    folder: TempDir,
    plan: Plan,
    address: SocketAddr,
}

/// A small file system in memory. Dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts one over a folder.
    ///
    /// # Errors
    /// If this may not be.
    pub(crate) fn mount(folder: PathBuf, mebibytes: u32) -> Result<Self> {
        let size = format!("size={mebibytes}m");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&folder)
            .output()?;
        ensure!(
            mount.status.success(),
            "no tmpfs can be mounted: {}",
            String::from_utf8_lossy(&mount.stderr).trim()
        );
        Ok(Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the server may still be on its way out. It fails only where nothing is mounted.
        drop(std::process::Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

impl Server {
    /// Starts the server on an empty folder and a port of its own, which it keeps over restarts.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn start(plan: Plan) -> Result<Self> {
        let (folder, mut address) = (TempDir::new()?, free_address()?);
        address.set_ip(plan.host.into());
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        let disk = plan.disk.map(|size| Disk::mount(data, size)).transpose()?;
        let mut server = Self { running: None, _disk: disk, folder, plan, address };
        server.again().await?;
        Ok(server)
    }

    /// Starts it on what it kept.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn again(&mut self) -> Result<()> {
        let log = File::options().append(true).create(true).open(self.log())?;
        let mut words = self.plan.under.iter().map(String::as_str).chain(self.plan.program.to_str());
        let mut command = Command::new(words.next().context("no program")?);
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DATA_DIR", self.data())
            .env("SERVER_ADDRESS", self.address.ip().to_string())
            .env("SERVER_PORT", self.address.port().to_string())
            .env("SECRET", SECRET)
            .env("LOG_LEVEL", "info")
            .envs(UNLIMITED.map(|name| (name, "0")))
            .envs(self.plan.database_url.iter().map(|url| ("DATABASE_URL", url)))
            .envs(self.plan.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command.spawn().context("the server cannot be started")?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let announced = timeout(START, lines.next_line()).await;
        if !announced.is_ok_and(|line| line.is_ok_and(|line| line.is_some())) {
            bail!("the server does not start: {}", self.last_words());
        }
        self.running = Some(child);
        Ok(())
    }

    /// Returns where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns the folder of the round.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns its process.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) fn pid(&self) -> Result<Pid> {
        let id = self.running.as_ref().and_then(Child::id).context("the server does not run")?;
        Pid::from_raw(i32::try_from(id)?).context("no process has the number 0")
    }

    /// Returns its memory that is no file's, in bytes.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?.as_raw_nonzero()))?;
        let memory =
            status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        Ok(memory.context("no RssAnon")?.trim().parse::<u64>()? * 1024)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Kills it, as a crash or a lack of memory would.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        let mut child = self.running.take().context("the server does not run")?;
        child.kill().await?;
        Ok(())
    }

    /// Fails if it has ended by itself.
    ///
    /// # Errors
    /// If it has, with how it ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        if let Some(child) = &mut self.running
            && let Some(status) = child.try_wait()?
        {
            bail!("the server ended by itself ({status}): {}", self.last_words());
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Returns the end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// Returns an address of the loopback interface that nobody uses now.
///
/// # Errors
/// If there is none.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

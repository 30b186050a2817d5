//! A PostgreSQL of the round's own, with durable commits, that can be stopped in every way and started again.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::server::free_address;

mod standby;

const PROGRAMS: &str = "/usr/lib/postgresql";
const START: usize = 1_000;

/// A cluster that initdb made, which those of the rounds are copies of: a copy takes a fraction of the time.
#[derive(Debug)]
pub(crate) struct Template(TempDir);

/// A cluster. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Postgres {
    programs: PathBuf,
    data: TempDir,
    address: SocketAddr,
    running: Option<Child>,
}

impl Postgres {
    /// Says whether its programs are installed.
    pub(crate) fn is_installed() -> bool {
        programs().is_some()
    }

    /// Starts a copy of a cluster.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not start.
    pub(crate) async fn start(template: &Template) -> Result<Self> {
        let (programs, data) = (programs().context("PostgreSQL is not installed")?, TempDir::new()?);
        let (from, to) = (template.0.path().join("data"), data.path().join("data"));
        let copied = Command::new("cp").arg("--archive").arg(from).arg(to).status().await?;
        ensure!(copied.success(), "a cluster cannot be copied");
        own(data.path()).await?;
        let mut postgres = Self { programs, data, address: free_address()?, running: None };
        postgres.again().await?;
        Ok(postgres)
    }

    /// Starts it on what it kept, and returns once it answers.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn again(&mut self) -> Result<()> {
        let child = self
            .program("postgres")
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p"])
            .arg(self.address.port().to_string())
            .arg("-D")
            .arg(self.data.path().join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        self.running = Some(child);
        for _ in 0..START {
            let mut probe = self.client("pg_isready");
            if probe.stdout(Stdio::null()).status().await?.success() {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("PostgreSQL does not answer")
    }

    /// Ends it: SIGINT is its fast shutdown, SIGQUIT its immediate one, SIGKILL a crash.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) async fn end(&mut self, signal: Signal) -> Result<()> {
        let mut child = self.running.take().context("PostgreSQL does not run")?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("no process")?;
        kill_process(pid, signal)?;
        child.wait().await?;
        Ok(())
    }

    /// Makes a database.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) async fn create_database(&self, name: &str) -> Result<()> {
        ensure!(self.client("createdb").arg(name).status().await?.success(), "createdb failed");
        Ok(())
    }

    /// Returns the URL of a database, as it is reached at `address`.
    pub(crate) fn url(name: &str, address: SocketAddr) -> String {
        format!("postgres://postgres@{address}/{name}?sslmode=disable")
    }

    /// Returns where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns one of its client programs, which connects to it.
    pub(crate) fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.args(["--host=127.0.0.1", "--username=postgres"]);
        command.arg(format!("--port={}", self.address.port())).stdin(Stdio::null());
        command
    }

    /// Returns one of its server programs, which ends with this one.
    fn program(&self, name: &str) -> Command {
        server_program(&self.programs, name)
    }

    /// Asks for a value, as a superuser.
    ///
    /// # Errors
    /// If it does not answer.
    pub(crate) async fn ask(&self, sql: &str) -> Result<String> {
        let mut client = self.client("psql");
        client.args(["--no-psqlrc", "--tuples-only", "--no-align", "--dbname=nemesis", "--command", sql]);
        let output = client.output().await?;
        ensure!(output.status.success(), "psql failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

impl Template {
    /// Makes a cluster.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or cannot make one.
    pub(crate) async fn make() -> Result<Self> {
        let (programs, folder) = (programs().context("PostgreSQL is not installed")?, TempDir::new()?);
        own(folder.path()).await?;
        let made = server_program(&programs, "initdb")
            .args(["--auth=trust", "--encoding=UTF8", "--no-locale", "--username=postgres", "-D"])
            .arg(folder.path().join("data"))
            .stdout(Stdio::null())
            .status()
            .await?;
        ensure!(made.success(), "initdb failed");
        Ok(Self(folder))
    }
}

/// Returns one of the server's programs, run by somebody whom it accepts: it refuses root. It ends with this one.
fn server_program(programs: &Path, name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg("--pdeathsig=INT").arg(programs.join(name)).current_dir("/").stdin(Stdio::null());
    command
}

/// Gives a folder to whom the server's programs are run by.
async fn own(folder: &Path) -> Result<()> {
    if geteuid().is_root() {
        let owned = Command::new("chown").arg("postgres:").arg(folder).status().await?;
        ensure!(owned.success(), "there is no user postgres");
    }
    Ok(())
}

/// Returns the folder of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(PROGRAMS).ok()?.flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Some(Path::new(PROGRAMS).join(versions.max()?.to_string()).join("bin"))
}

//! A PostgreSQL of our own in a temporary folder, by the programs that Debian installs.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

const PROGRAMS: &str = "/usr/lib/postgresql";
const USER: &str = "postgres";
const START: Duration = Duration::from_secs(20);

/// A running server with durable commits; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Postgres {
    child: Child,
    url: String,
    _data: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it on a free port of the loopback address.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub(crate) fn start() -> Result<Self> {
        let programs = newest().context("PostgreSQL is not installed")?;
        let data = TempDir::new()?;
        let run = |program: &str| -> Result<Command> {
            let mut command = Command::new(programs.join(program));
            command.arg("-D").arg(data.path()).current_dir("/");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            // It refuses to run as root.
            if geteuid().is_root() {
                let (user, group) = account()?;
                chown(data.path(), Some(user), Some(group))?;
                command.uid(user).gid(group);
            }
            Ok(command)
        };
        let made = run("initdb")?.args(["--auth=trust", "--encoding=UTF8", "--username", USER]).status()?;
        ensure!(made.success(), "initdb failed");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = run("postgres")?
            .args(["-c", "listen_addresses=127.0.0.1", "-p", &port.to_string(), "-k"])
            .arg(data.path())
            .spawn()?;
        let url = format!("postgres://{USER}@127.0.0.1:{port}/{USER}");
        let postgres = Self { child, url, _data: data };
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(started.elapsed() < START, "it did not open its port");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(postgres)
    }

    /// Returns the URL of its database.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is its fast shutdown; it fails only where the process has ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
    }
}

/// Returns the folder of the newest version's programs.
fn newest() -> Option<PathBuf> {
    let versions = fs::read_dir(PROGRAMS).ok()?.flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Some(Path::new(PROGRAMS).join(versions.max()?.to_string()).join("bin"))
}

/// Returns the numbers of the user and the group that Debian made for it.
fn account() -> Result<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd")?;
    let line = accounts.lines().find(|line| line.split(':').next() == Some(USER));
    let mut numbers = line.context("there is no user postgres")?.split(':').skip(2);
    let mut number = || numbers.next().and_then(|text| text.parse().ok()).context("not a passwd line");
    Ok((number()?, number()?))
}

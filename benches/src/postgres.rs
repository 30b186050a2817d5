//! A PostgreSQL of our own in a temporary folder, by the programs that Debian installs.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
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

/// The accounts of the original are called so, with three digits behind it.
pub(crate) const TAKEN_OVER: &str = "taken";
/// The original's tables with ten accounts, to be taken over; their hash is bcrypt's at the original's cost.
const ORIGINAL: &str = "
    CREATE TABLE roles (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(255) UNIQUE NOT NULL);
    INSERT INTO roles (name) VALUES ('USER'), ('ADMIN');
    CREATE TABLE users (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        username varchar(255) UNIQUE NOT NULL,
        password varchar(255) NOT NULL,
        role_id bigint REFERENCES roles (id) DEFAULT 1);
    INSERT INTO users (username, password)
    SELECT 'taken' || to_char(number, 'FM000'), '$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy'
    FROM generate_series(0, 9) AS number";

/// A running server with durable commits; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Postgres {
    child: Child,
    url: String,
    _data: TempDir,
}

impl Postgres {
    /// Makes a cluster with the original's accounts in it, and starts it on a free port of the loopback address; none
    /// where PostgreSQL is not installed.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn start() -> Result<Option<Self>> {
        let Some(programs) = newest() else { return Ok(None) };
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
        // Its port is open before it takes statements.
        while !postgres.runs(&programs, "SELECT")? {
            ensure!(started.elapsed() < START, "it took no statement");
            thread::sleep(Duration::from_millis(20));
        }
        ensure!(postgres.runs(&programs, ORIGINAL)?, "the original's tables could not be made");
        Ok(Some(postgres))
    }

    /// Says whether it did as it was told.
    fn runs(&self, programs: &Path, statement: &str) -> Result<bool> {
        let mut psql = Command::new(programs.join("psql"));
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url, "-c", statement]);
        psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(psql.status()?.success())
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

//! A private PostgreSQL, which can be configured, crashed, started again and followed by a standby.
//!
//! A shell starts the server, so that it ends however this process ends: the shell reads from this process, and at the end
//! of that input it ends the server and removes the data. Both run as the user `postgres` where this process is root's,
//! which PostgreSQL refuses.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    fs::statvfs,
    process::{Signal, geteuid},
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    sync::OnceCell,
    time::{sleep, timeout},
};

use crate::{log::Log, port::ReservedPort, programs};

/// For a start after a crash, a standby that catches up, and the like.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two questions: each starts a psql.
const QUESTION_PAUSE: Duration = Duration::from_millis(20);
/// The bytes that must be free for a cluster in memory.
const MEMORY: u64 = 6_000_000_000;
/// The name by which a server knows its standby.
const STANDBY: &str = "standby";

/// Makes a data directory by the command in its place, and prints the folder around it.
const MAKE: &str = r#"
folder=$(mktemp --directory --tmpdir="$1") && cd "$folder" && {
    COMMAND
} && echo "$folder" ||
{ rm -rf "$folder"; exit 1; }
"#;

/// Everybody but the superuser needs a password, if over TCP.
const INITIALISE: &str = r#"
"$0/initdb" --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --no-locale --no-sync >/dev/null &&
printf '%s\n' 'host all postgres 127.0.0.1/32 trust' 'host replication postgres 127.0.0.1/32 trust' \
    'host all all 127.0.0.1/32 scram-sha-256' >data/pg_hba.conf
"#;

const COPY: &str = r#"cp --archive "$2/data" data"#;

const FOLLOW: &str = r#"
"$0/pg_basebackup" --pgdata=data --dbname="$2" --checkpoint=fast --no-sync --write-recovery-conf
"#;

/// Serves a cluster until the input names the signal that ends it, or ends.
const SERVE: &str = r#"
folder=$1 && shift
"$0/postgres" -D "$folder/data" "$@" </dev/null & server=$!
exec >/dev/null 2>&1
if read -r signal; then kill -"$signal" "$server"; wait "$server"
else kill -QUIT "$server"; wait "$server"; rm -rf "$folder"; fi
"#;

/// The files of a cluster that is not served. Dropping it removes them.
#[derive(Debug)]
pub struct DataDirectory {
    programs: PathBuf,
    folder: PathBuf,
}

impl DataDirectory {
    /// Makes one with `initdb`.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or its programs fail.
    pub async fn initialise() -> Result<Self> {
        Self::make(INITIALISE, &env::temp_dir(), "").await
    }

    /// Copies it, which takes a fraction of the time of `initdb`.
    ///
    /// # Errors
    /// If the copy fails.
    pub async fn copy(&self) -> Result<Self> {
        Self::make(COPY, &env::temp_dir(), self.folder.to_str().context("a folder in UTF-8")?).await
    }

    async fn make(command: &str, parent: &Path, argument: &str) -> Result<Self> {
        let programs = programs::postgres().context("PostgreSQL is not installed")?;
        let mut shell = shell(&MAKE.replace("COMMAND", command), &programs);
        let made = shell.arg(parent).arg(argument).stdin(Stdio::null()).output().await?;
        ensure!(made.status.success(), "no cluster: {}", String::from_utf8_lossy(&made.stderr));
        Ok(Self { programs, folder: String::from_utf8(made.stdout)?.trim().into() })
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        // Where it fails, a server is just ending, and its shell removes the rest.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A cluster with a port of its own, which it keeps. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct Postgres {
    serving: Option<Child>,
    data: DataDirectory,
    port: ReservedPort,
    settings: Vec<String>,
}

impl Postgres {
    /// Returns the folder of PostgreSQL's programs, where it is installed: the one in PATH, otherwise Debian's newest.
    #[must_use]
    pub fn programs() -> Option<PathBuf> {
        programs::postgres()
    }

    /// Returns the cluster that all tests of this process share, started by the first that asks; nothing where PostgreSQL
    /// is not installed. It waits for its disk, as the server demands, but its disk is memory where there is enough.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<Postgres>> = OnceCell::const_new();
        let start = || async {
            programs::postgres()?;
            let memory = Path::new("/dev/shm");
            let has_room = statvfs(memory).is_ok_and(|disk| disk.f_bavail * disk.f_frsize >= MEMORY);
            let parent = if has_room { memory } else { &env::temp_dir() };
            let data = DataDirectory::make(INITIALISE, parent, "").await.expect("a cluster is made");
            Some(Self::serve(data, &[("max_connections", "500")]).await.expect("the cluster starts"))
        };
        SHARED.get_or_init(start).await.as_ref()
    }

    /// Starts a new cluster with these settings.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not start.
    pub async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        Self::serve(DataDirectory::initialise().await?, settings).await
    }

    /// Starts a cluster on its files.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn serve(data: DataDirectory, settings: &[(&str, &str)]) -> Result<Self> {
        let port = ReservedPort::on(Ipv4Addr::LOCALHOST)?;
        let number = port.number().to_string();
        let own = [("port", &*number), ("listen_addresses", "127.0.0.1"), ("unix_socket_directories", "")];
        let settings = own.iter().chain(settings).map(|(name, value)| format!("--{name}={value}")).collect();
        let mut postgres = Self { serving: None, data, port, settings };
        postgres.start_again().await?;
        Ok(postgres)
    }

    /// Starts a standby of this cluster, and returns once it follows. It reaches the cluster at `link`: at its address or
    /// at a proxy's.
    ///
    /// # Errors
    /// If it does not follow.
    pub async fn standby(&self, link: SocketAddr) -> Result<Self> {
        let source = format!("host=127.0.0.1 port={} user=postgres application_name={STANDBY}", link.port());
        let data = DataDirectory::make(FOLLOW, &env::temp_dir(), &source).await?;
        let standby = Self::serve(data, &[]).await?;
        self.until("SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'").await?;
        Ok(standby)
    }

    /// Makes every commit from now on wait for the standby.
    ///
    /// # Errors
    /// If it does not become synchronous.
    pub async fn make_standby_synchronous(&self) -> Result<()> {
        self.set("synchronous_standby_names", STANDBY).await?;
        self.until("SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'").await
    }

    /// Makes a standby a server of its own.
    ///
    /// # Errors
    /// If it stays a standby.
    pub async fn promote(&self) -> Result<()> {
        ensure!(self.query("SELECT pg_promote()").await? == "t", "the standby is not promoted");
        Ok(())
    }

    /// Starts it on its data, after it was ended.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        let mut command = shell(SERVE, &self.data.programs);
        // A Ctrl-C is for this process; the shell has to outlive it.
        command.arg(&self.data.folder).args(&self.settings).stdin(Stdio::piped()).process_group(0);
        let (serving, mut log) = Log::spawn(&mut command, |_| true)?;
        self.serving = Some(serving);
        let is_ready = |line: &str| line.contains("ready to accept").then_some(());
        match timeout(TIMEOUT, log.next(is_ready)).await {
            Ok(Some(())) => Ok(()),
            _ => bail!("PostgreSQL does not start: {}", log.tail(20)),
        }
    }

    /// Ends it. SIGINT is its fast shutdown, SIGQUIT its immediate one, after which it recovers, and SIGKILL a crash.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn end(&mut self, signal: Signal) -> Result<()> {
        let mut serving = self.serving.take().context("PostgreSQL does not run")?;
        let mut input = serving.stdin.take().context("the shell has no input")?;
        input.write_all(format!("{}\n", signal.as_raw()).as_bytes()).await?;
        timeout(TIMEOUT, serving.wait()).await.context("PostgreSQL does not end")??;
        Ok(())
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Returns the URL of a database for the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        Self::url_at(self.address(), database)
    }

    /// Returns the URL of a database for the superuser at an address, as that of a proxy.
    #[must_use]
    pub fn url_at(address: SocketAddr, database: &str) -> String {
        format!("postgres://postgres@{address}/{database}?sslmode=disable")
    }

    /// Returns the URL of a database for a role with a password.
    #[must_use]
    pub fn url_as(&self, role: &str, password: &str, database: &str) -> String {
        self.url(database).replacen("postgres@", &format!("{role}:{password}@"), 1)
    }

    /// Makes a database, and returns its URL for the superuser.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        self.query(&format!("CREATE DATABASE {name}")).await?;
        Ok(self.url(name))
    }

    /// Makes a database with a name of its own, and returns its URL for the superuser.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn new_database(&self) -> Result<String> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        self.create_database(&format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed))).await
    }

    /// Returns psql as the superuser's, which prints values alone and ends at the first error.
    #[must_use]
    pub fn psql(&self, url: &str) -> Command {
        let mut psql = Command::new(self.data.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--dbname", url]).stdin(Stdio::null());
        psql
    }

    /// Runs statements one by one in the superuser's database, and returns what the last ones have answered.
    ///
    /// # Errors
    /// If one fails.
    pub async fn run(&self, statements: &[&str]) -> Result<String> {
        let mut psql = self.psql(&self.url("postgres"));
        psql.args(statements.iter().flat_map(|statement| ["--command", statement]));
        let output = psql.output().await?;
        ensure!(output.status.success(), "psql failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Asks for a value in the superuser's database.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn query(&self, statement: &str) -> Result<String> {
        self.run(&[statement]).await
    }

    /// Changes a setting of the whole cluster, for open connections too.
    ///
    /// # Errors
    /// If it does not take effect.
    pub async fn set(&self, setting: &str, value: &str) -> Result<()> {
        let change = format!("ALTER SYSTEM SET {setting} = '{value}'");
        self.run(&[&change, "SELECT pg_reload_conf()"]).await?;
        self.until(&format!("SELECT setting = '{value}' FROM pg_settings WHERE name = '{setting}'")).await
    }

    /// Asks until the answer is yes.
    ///
    /// # Errors
    /// If it is not so in time.
    pub async fn until(&self, question: &str) -> Result<()> {
        let asking = async {
            while self.query(question).await? != "t" {
                sleep(QUESTION_PAUSE).await;
            }
            Ok(())
        };
        timeout(TIMEOUT, asking).await.with_context(|| format!("not in time: {question}"))?
    }
}

/// Returns a shell with PostgreSQL's programs as its `$0`.
fn shell(script: &str, programs: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "sh"]);
    } else {
        command = Command::new("sh");
    }
    command.args(["-c", script]).arg(programs).current_dir("/");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_database_is_another_one() -> Result<()> {
        let Some(postgres) = Postgres::shared().await else { return Ok(()) };
        assert_ne!(postgres.new_database().await?, postgres.new_database().await?);
        Ok(())
    }
}

//! The program under test, as a child process that can be stopped, killed and started again.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

use crate::log::{LineFilter, Log};

/// Under valgrind or strace a start takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const EXIT_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a killed process is looked at until it has ended.
const EXIT_POLL: Duration = Duration::from_millis(1);
/// The lines of the log in an error.
const TAIL: usize = 20;

/// The settings of the limits that would stop a load; 0 is no limit.
pub const UNLIMITED: [&str; 13] = [
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

/// A server in a child process, which prints `open http://ADDRESS` once it listens. Dropping it kills it and awaits its end.
#[derive(Debug)]
pub struct Server {
    command: Command,
    keep: LineFilter,
    child: Child,
    log: Log,
    started: Instant,
    url: String,
    address: SocketAddr,
}

impl Server {
    /// Starts a server, and returns once it has printed where it listens. All lines of its log are kept.
    ///
    /// # Errors
    /// If it cannot be started, ends, or prints nothing in time.
    pub async fn start(command: Command) -> Result<Self> {
        let mut server = Self::spawn(command, |_| true)?;
        server.listens().await?;
        Ok(server)
    }

    /// Starts a process that does not print where it listens, and returns once it accepts connections there.
    ///
    /// # Errors
    /// If it cannot be started, ends, or does not listen in time.
    pub async fn start_at(command: Command, address: SocketAddr) -> Result<Self> {
        let mut server = Self::spawn(command, |_| true)?;
        (server.url, server.address) = (format!("http://{address}"), address);
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                server.ensure_running()?;
                tokio::task::yield_now().await;
            }
            Ok(server)
        };
        timeout(START_TIMEOUT, listens).await.context("it does not listen")?
    }

    /// Starts a process without waiting for it. `keep` sees each line of its log, and says whether it is kept.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(mut command: Command, keep: LineFilter) -> Result<Self> {
        let started = Instant::now();
        let (child, log) = Log::spawn(&mut command, keep).with_context(|| format!("{command:?}"))?;
        let (url, address) = (String::new(), SocketAddr::from(([0; 4], 0)));
        Ok(Self { command, keep, child, log, started, url, address })
    }

    /// Starts it again, by the same command, after it has ended.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_again(&mut self) -> Result<()> {
        self.started = Instant::now();
        (self.child, self.log) = Log::spawn(&mut self.command, self.keep)?;
        self.listens().await
    }

    /// Awaits that it has printed where it listens.
    ///
    /// # Errors
    /// If it ends, or prints nothing in time.
    pub async fn listens(&mut self) -> Result<()> {
        let Ok(Some((url, address))) = timeout(START_TIMEOUT, self.log.next(url_in)).await else {
            bail!("the server does not start: {}", self.log_tail());
        };
        (self.url, self.address) = (url, address);
        self.log.rewind();
        Ok(())
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the time since the process was started.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns its process.
    ///
    /// # Errors
    /// If it has ended.
    pub fn pid(&self) -> Result<Pid> {
        let id = self.child.id().context("the server does not run")?;
        Pid::from_raw(i32::try_from(id)?).context("no process has the number 0")
    }

    /// Returns its folder in `/proc`.
    ///
    /// # Errors
    /// If it has ended.
    pub fn proc(&self) -> Result<PathBuf> {
        Ok(Path::new("/proc").join(self.pid()?.as_raw_nonzero().to_string()))
    }

    /// Returns a size in `/proc/PID/status`, as `VmRSS`, in bytes.
    ///
    /// # Errors
    /// If it has ended.
    pub fn memory(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(self.proc()?.join("status"))?;
        let size = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kibibytes = size.and_then(|size| size.trim().strip_suffix(" kB"));
        Ok(kibibytes.with_context(|| format!("no {field} in kB"))?.parse::<u64>()? * 1024)
    }

    /// Fails if it has ended by itself.
    ///
    /// # Errors
    /// If it has, with the end of its log.
    pub fn ensure_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the server ended by itself ({status}): {}", self.log_tail()),
            None => Ok(()),
        }
    }

    /// Awaits a line of the log with this text, after the last one that was awaited so, and returns it.
    ///
    /// # Errors
    /// If it ends without it.
    pub async fn logs(&mut self, text: &str) -> Result<String> {
        let line = self.log.next(|line| line.contains(text).then(|| line.to_owned())).await;
        line.with_context(|| format!("the server ended without {text:?}: {}", self.log()))
    }

    /// Returns all that was kept of the log.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.tail(usize::MAX)
    }

    /// Returns the last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.log.tail(TAIL)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Awaits its end, and the end of its log.
    ///
    /// # Errors
    /// If it does not end in time.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let ended = timeout(EXIT_TIMEOUT, async {
            let status = self.child.wait().await;
            self.log.end().await;
            status
        });
        let Ok(status) = ended.await else { bail!("the server does not end: {}", self.log_tail()) };
        Ok(status?)
    }

    /// Ends it by SIGTERM, as an operator does.
    ///
    /// # Errors
    /// If it has ended before, or does not end in time.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait().await
    }

    /// Ends it by SIGKILL, as a crash or the lack of memory would.
    ///
    /// # Errors
    /// If it has ended before.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait().await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only where the process has ended already.
        drop(self.child.start_kill());
        // The next one may need its data folder.
        while matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(EXIT_POLL);
        }
    }
}

/// Returns the command that runs a program, under a tool with its arguments where one is named.
#[must_use]
pub fn command_under<T: AsRef<std::ffi::OsStr>>(tool: &[T], program: &Path) -> Command {
    let mut command = match tool {
        [] => Command::new(program),
        [tool, arguments @ ..] => {
            let mut command = Command::new(tool);
            command.args(arguments).arg(program);
            command
        }
    };
    command.stdin(Stdio::null());
    command
}

/// Returns the URL that a line names after `open`, and its address.
fn url_in(line: &str) -> Option<(String, SocketAddr)> {
    let (_, rest) = line.split_once("open http")?;
    let (scheme, rest) = rest.split_once("://")?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(rest.len());
    let address = rest[..end].parse().ok()?;
    Some((format!("http{scheme}://{address}"), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_among_words_and_colours() {
        let found = |line| url_in(line).map(|(url, _)| url);
        assert_eq!(found("open http://127.0.0.1:8080/"), Some("http://127.0.0.1:8080".into()));
        assert_eq!(found("\u{1b}[1mopen https://[::1]:80\u{1b}[0m up"), Some("https://[::1]:80".into()));
        assert_eq!(found("open http://example.org"), None);
        assert_eq!(found("spans go to http://127.0.0.1:4317"), None);
    }
}

//! A server as a child process: started, asked by the kernel's accounting what it used, and ended.

use std::{
    collections::VecDeque,
    fs,
    io::{self, BufRead as _, BufReader},
    net::SocketAddr,
    ops::Sub,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal};

/// Linux counts CPU time in hundredths of a second wherever it tells it (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Under an instruction counter a start takes some seconds.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);
const TAIL: usize = 20;

/// A running server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Where it answers, as it printed it.
    pub(crate) address: SocketAddr,
    started: Instant,
    tail: Tail,
    reader: Option<JoinHandle<()>>,
}

/// CPU time in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    user: f64,
    /// The kernel's on its behalf.
    pub(crate) system: f64,
}

impl Cpu {
    pub(crate) const fn total(self) -> f64 {
        self.user + self.system
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }
}

/// The last lines that the child wrote: the reason, should it not answer.
#[derive(Clone, Debug, Default)]
struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Process {
    /// Starts a server and waits until it prints its `http://` address.
    ///
    /// # Errors
    /// If it cannot be started, or ends or stays silent instead.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let (output, input) = io::pipe()?;
        let name = format!("{:?}", command.get_program());
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input)
            .spawn()
            .with_context(|| format!("could not start {name}"))?;
        // The command holds the writing ends; with them open the reader would never see the end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let tail = Tail::default();
        let (found, address) = mpsc::sync_channel(1);
        let lines = tail.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    // Full once the first was found, closed once nobody waits.
                    let _ = found.try_send(address);
                }
                lines.push(line);
            }
        });
        let placeholder = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut process = Self { child, address: placeholder, started, tail, reader: Some(reader) };
        match address.recv_timeout(START) {
            Ok(address) => process.address = address,
            Err(_) => bail!("{name} printed no address:\n{}", process.tail.text()),
        }
        Ok(process)
    }

    /// Returns the time since the process was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the CPU time used so far by all threads, in user and kernel mode, in seconds.
    ///
    /// # Errors
    /// If the process has gone.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, field 2, may hold spaces; utime and stime are fields 14 and 15 (proc(5)).
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let mut seconds =
            fields.split_whitespace().skip(11).flat_map(str::parse::<f64>).map(|t| t / TICKS_PER_SECOND);
        let (user, system) = seconds.next().zip(seconds.next()).context("no times in stat")?;
        Ok(Cpu { user, system })
    }

    /// Returns the memory that is in use, resident, in KB of 1,024 bytes.
    ///
    /// # Errors
    /// If the process has gone.
    pub(crate) fn resident(&self) -> Result<f64> {
        self.memory("VmRSS:")
    }

    /// Returns the highest that the resident memory has been, in KB of 1,024 bytes.
    ///
    /// # Errors
    /// If the process has gone.
    pub(crate) fn highest(&self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Ends the process by SIGTERM and returns the last lines that it wrote.
    ///
    /// # Errors
    /// If it does not end in time.
    pub(crate) fn stop(mut self) -> Result<String> {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::TERM)?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > STOP {
                bail!("the server did not end on SIGTERM:\n{}", self.tail.text());
            }
            thread::sleep(Duration::from_millis(5));
        }
        // The pipe has closed: what was written last is read before it is returned.
        self.reader.take().map(JoinHandle::join);
        Ok(self.tail.text())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

/// Lets this process and its children open as many files as the system allows: a stream each is a file each.
///
/// # Errors
/// If the system refuses.
pub(crate) fn raise_file_limit() -> Result<()> {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    Ok(rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Returns the command that runs `program`, under a tool with its arguments where one is given.
pub(crate) fn under(tool: &[&str], program: &Path) -> Command {
    match tool {
        [] => Command::new(program),
        [tool, arguments @ ..] => {
            let mut command = Command::new(tool);
            command.args(arguments).arg(program);
            command
        }
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_among_words_and_colours() {
        let found = |line| address_in(line).map(|address| address.to_string());
        assert_eq!(found("listening on http://127.0.0.1:8080/"), Some("127.0.0.1:8080".into()));
        assert_eq!(found("\u{1b}[1mhttp://[::1]:80\u{1b}[0m up"), Some("[::1]:80".into()));
        assert_eq!(found("see http://example.org"), None);
    }
}

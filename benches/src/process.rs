//! A server as a child process, asked by the kernel's accounting what it used.

use std::{
    fs,
    net::SocketAddr,
    ops::{Deref, Sub},
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use grpcchatter_testbed::Server;
use tokio::process::Command;

/// Linux reports CPU time in hundredths of a second (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    server: Server,
    /// Where it answers, as it printed it.
    pub(crate) address: SocketAddr,
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

/// Returns the CPU time of a process and its children, those that have ended included, in seconds.
///
/// # Errors
/// If the process has gone.
pub(crate) fn family_cpu(parent: u32) -> Result<f64> {
    let stat = Stat::read(Path::new(&format!("/proc/{parent}")))?;
    let children = fs::read_dir("/proc")?.flatten().flat_map(|entry| Stat::read(&entry.path()));
    let children = children.filter(|child| child.parent == parent).map(|child| child.own.total());
    Ok(stat.own.total() + stat.ended_children + children.sum::<f64>())
}

/// Returns the id of a process's parent.
///
/// # Errors
/// If the process has gone.
pub(crate) fn parent(process: &str) -> Result<u32> {
    Ok(Stat::read(&Path::new("/proc").join(process))?.parent)
}

/// What the kernel reports of a process (proc(5)).
struct Stat {
    parent: u32,
    own: Cpu,
    /// The CPU time of its children that have ended.
    ended_children: f64,
}

impl Stat {
    fn read(folder: &Path) -> Result<Self> {
        let stat = fs::read_to_string(folder.join("stat"))?;
        // The name, field 2, may hold spaces; the parent is field 4, and the times are fields 14 to 17.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let mut fields = fields.split_whitespace().skip(1);
        let parent = fields.next().context("no parent in stat")?.parse()?;
        let seconds: Vec<_> =
            fields.skip(9).take(4).flat_map(str::parse::<f64>).map(|t| t / TICKS_PER_SECOND).collect();
        let &[user, system, children_user, children_system] = &seconds[..] else {
            bail!("no times in stat");
        };
        Ok(Self { parent, own: Cpu { user, system }, ended_children: children_user + children_system })
    }
}

impl Process {
    /// Starts a server and waits until it prints its `http://` address.
    ///
    /// # Errors
    /// If it cannot be started, or ends or stays silent instead.
    pub(crate) async fn start(command: Command) -> Result<Self> {
        let server = Server::start(command).await?;
        Ok(Self { address: server.address(), server })
    }

    /// Returns the CPU time used so far by all threads, in user and kernel mode, in seconds.
    ///
    /// # Errors
    /// If the process has gone.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Ok(Stat::read(&self.proc()?)?.own)
    }

    /// Returns the memory that is in use, resident, in KB of 1,024 bytes.
    ///
    /// # Errors
    /// If the process has gone.
    pub(crate) fn resident(&self) -> Result<f64> {
        Ok(self.memory("VmRSS")? as f64 / 1024.0)
    }

    /// Returns the highest that the resident memory has been, in KB of 1,024 bytes.
    ///
    /// # Errors
    /// If the process has gone.
    pub(crate) fn highest(&self) -> Result<f64> {
        Ok(self.memory("VmHWM")? as f64 / 1024.0)
    }

    /// Ends the process by SIGTERM and returns what it wrote.
    ///
    /// # Errors
    /// If it does not end in time.
    pub(crate) async fn stop(mut self) -> Result<String> {
        self.server.stop().await?;
        Ok(self.server.log())
    }
}

impl Deref for Process {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

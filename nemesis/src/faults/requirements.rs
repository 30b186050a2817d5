//! The tools and permissions that a fault requires. Permissions are tested by use: an installed program may still not be
//! allowed to do its work.

use std::{
    fmt,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use grpcchatter_testbed::Postgres;
use rustix::process::Pid;
use tempfile::TempDir;

use super::{DISK_MEBIBYTES, Fault, cgroup::MemoryCgroup, clock::libfaketime, half_open::VethLink};
use crate::{
    server::Disk,
    setup::{Database, Setup},
    strace::Strace,
};

/// Why a fault cannot run on this machine.
#[derive(Debug)]
pub(crate) enum Missing {
    /// A program or a library is not installed.
    Tool(&'static str),
    /// The machine does not permit it.
    Permission(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(tool) => write!(f, "not run: {tool} is not installed"),
            Self::Permission(why) => write!(f, "not run: {why}"),
        }
    }
}

impl Database {
    /// Returns what this machine lacks to run the database.
    pub(crate) async fn missing(self, setup: &Setup) -> Option<Missing> {
        match self {
            Self::Sqlite => None,
            Self::Postgres if Postgres::programs().is_none() => Some(Missing::Tool("PostgreSQL")),
            Self::Postgres if !is_installed("setpriv") => Some(Missing::Tool("setpriv")),
            Self::Postgres => setup.template().await.err().map(permission),
        }
    }
}

impl Fault {
    /// Returns what this machine lacks to run the fault.
    pub(crate) async fn missing(self, setup: &Setup, database: Database) -> Option<Missing> {
        let tools: &[&'static str] = match self {
            Self::DiskFull => &["mount"],
            Self::FsyncFails | Self::FsyncStalls | Self::AckAfterSync => &["strace"],
            Self::FewDescriptors => &["prlimit"],
            Self::ClientsHalfOpen if setup.long => &["ip"],
            _ => &[],
        };
        if let Some(tool) = tools.iter().find(|tool| !is_installed(tool)) {
            return Some(Missing::Tool(tool));
        }
        if self == Self::ClockJumps && libfaketime().is_none() {
            return Some(Missing::Tool("libfaketime"));
        }
        let tried = match self {
            Self::DiskFull => try_mount(),
            Self::FsyncFails | Self::FsyncStalls | Self::AckAfterSync => try_strace().await,
            Self::LittleMemory => MemoryCgroup::make().map(drop),
            Self::ClientsHalfOpen if setup.long => VethLink::make().map(drop),
            _ => Ok(()),
        };
        match tried {
            Err(error) => Some(permission(error)),
            Ok(()) => database.missing(setup).await,
        }
    }
}

fn permission(error: anyhow::Error) -> Missing {
    Missing::Permission(format!("{error:#}"))
}

fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

fn try_mount() -> Result<()> {
    let folder = TempDir::new()?;
    Disk::mount(folder.path().to_owned(), DISK_MEBIBYTES).map(drop)
}

async fn try_strace() -> Result<()> {
    let mut sleeper = tokio::process::Command::new("sleep").arg("60").kill_on_drop(true).spawn()?;
    let id = sleeper.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("no process")?;
    let folder = TempDir::new()?;
    Strace::attach(id, folder.path(), &["--trace=fdatasync"]).await?.detach().await?;
    Ok(sleeper.kill().await?)
}

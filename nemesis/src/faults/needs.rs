//! What a fault needs, found out by doing it: a program that is installed may still not be allowed to do its work.

use std::{
    fmt,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use rustix::process::Pid;
use tempfile::TempDir;

use super::{
    Fault,
    half_open::Link,
    jail::Jail,
    strikes::{DISK, libfaketime},
};
use crate::{
    bench::{Bench, Database},
    postgres::Postgres,
    server::Disk,
    trace::Trace,
};

/// Why a fault cannot be done here.
#[derive(Debug)]
pub(crate) enum Lack {
    /// A program or a library is not installed.
    Tool(&'static str),
    /// The machine does not let it be done.
    Right(String),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(tool) => write!(f, "not run: {tool} is not installed"),
            Self::Right(why) => write!(f, "not run: {why}"),
        }
    }
}

impl Database {
    /// Returns what it needs and this machine lacks.
    pub(crate) async fn lacks(self, bench: &Bench) -> Option<Lack> {
        match self {
            Self::Sqlite => None,
            Self::Postgres if !Postgres::is_installed() => Some(Lack::Tool("PostgreSQL")),
            Self::Postgres if !is_installed("setpriv") => Some(Lack::Tool("setpriv")),
            Self::Postgres => bench.template().await.err().map(right),
        }
    }
}

impl Fault {
    /// Returns what it needs and this machine lacks.
    pub(crate) async fn lacks(self, bench: &Bench, database: Database) -> Option<Lack> {
        let tools: &[&'static str] = match self {
            Self::DiskFull => &["mount"],
            Self::FsyncFails | Self::AckAfterSync => &["strace"],
            Self::FewDescriptors => &["prlimit"],
            Self::ClientsHalfOpen if bench.long => &["ip"],
            _ => &[],
        };
        if let Some(tool) = tools.iter().find(|tool| !is_installed(tool)) {
            return Some(Lack::Tool(tool));
        }
        if self == Self::ClockJumps && libfaketime().is_none() {
            return Some(Lack::Tool("libfaketime"));
        }
        let tried = match self {
            Self::DiskFull => mount(),
            Self::FsyncFails | Self::AckAfterSync => trace().await,
            Self::LittleMemory => Jail::make().map(drop),
            Self::ClientsHalfOpen if bench.long => Link::make().map(drop),
            _ => Ok(()),
        };
        match tried {
            Err(error) => Some(right(error)),
            Ok(()) => database.lacks(bench).await,
        }
    }
}

fn right(error: anyhow::Error) -> Lack {
    Lack::Right(format!("{error:#}"))
}

fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

fn mount() -> Result<()> {
    let folder = TempDir::new()?;
    Disk::mount(folder.path().to_owned(), DISK).map(drop)
}

async fn trace() -> Result<()> {
    let mut sleeper = tokio::process::Command::new("sleep").arg("60").kill_on_drop(true).spawn()?;
    let id = sleeper.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("no process")?;
    let folder = TempDir::new()?;
    Trace::attach(id, folder.path(), &["--trace=fdatasync"]).await?.detach().await?;
    Ok(sleeper.kill().await?)
}

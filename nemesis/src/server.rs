//! The server under test, as a process that can be killed, frozen and started again on what it kept.

use std::{
    net::Ipv4Addr,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use grpcchatter_testbed::{ReservedPort, UNLIMITED, command_under};
use tempfile::TempDir;

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
    server: grpcchatter_testbed::Server,
    _disk: Option<Disk>,
    folder: TempDir,
    _port: ReservedPort,
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
        let (folder, port) = (TempDir::new()?, ReservedPort::on(plan.host)?);
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        let disk = plan.disk.map(|size| Disk::mount(data.clone(), size)).transpose()?;
        let mut command = command_under(&plan.under, &plan.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DATA_DIR", data)
            .env("SERVER_ADDRESS", plan.host.to_string())
            .env("SERVER_PORT", port.number().to_string())
            .env("SECRET", SECRET)
            .env("LOG_LEVEL", "info")
            .envs(UNLIMITED.map(|name| (name, "0")))
            .envs(plan.database_url.map(|url| ("DATABASE_URL", url)))
            .envs(plan.settings)
            .current_dir(folder.path());
        let server = grpcchatter_testbed::Server::start(command).await?;
        Ok(Self { server, _disk: disk, folder, _port: port })
    }

    /// Returns its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns the folder of the round.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Deref for Server {
    type Target = grpcchatter_testbed::Server;

    fn deref(&self) -> &Self::Target {
        &self.server
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.server
    }
}

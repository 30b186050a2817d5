//! A cgroup with little memory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use rustix::process::Pid;

/// The memory that the server gets where it gets little.
const MEMORY: &str = "256M";

/// A cgroup with little memory. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Jail(PathBuf);

impl Jail {
    /// Puts a process into a cgroup.
    pub(super) fn around(process: Pid) -> Result<Self> {
        let jail = Self::make()?;
        fs::write(jail.0.join("cgroup.procs"), process.as_raw_nonzero().to_string())?;
        Ok(jail)
    }

    /// Makes a cgroup: of version 1, or of version 2 where memory is delegated.
    pub(super) fn make() -> Result<Self> {
        let name = format!("nemesis-{}", std::process::id());
        let mounts = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        for (mount, limit) in mounts {
            let folder = Path::new(mount).join(&name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let jail = Self(folder);
            if fs::write(jail.0.join(limit), MEMORY).is_ok() {
                return Ok(jail);
            }
        }
        bail!("there is no cgroup for memory")
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        // It fails while the process has not ended; an empty cgroup that stays harms nobody.
        drop(fs::remove_dir(&self.0));
    }
}

//! A cgroup with little memory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use rustix::process::Pid;

/// The cgroup's memory limit.
const MEMORY: &str = "256M";

/// A cgroup with little memory. Dropping it removes it.
#[derive(Debug)]
pub(super) struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    /// Makes a cgroup, and moves a process into it.
    pub(super) fn around(process: Pid) -> Result<Self> {
        let cgroup = Self::make()?;
        fs::write(cgroup.0.join("cgroup.procs"), process.as_raw_nonzero().to_string())?;
        Ok(cgroup)
    }

    /// Makes a cgroup of version 1, or of version 2 where the memory controller is delegated.
    pub(super) fn make() -> Result<Self> {
        let name = format!("nemesis-{}", std::process::id());
        let mounts = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        for (mount, limit) in mounts {
            let folder = Path::new(mount).join(&name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let cgroup = Self(folder);
            if fs::write(cgroup.0.join(limit), MEMORY).is_ok() {
                return Ok(cgroup);
            }
        }
        bail!("no memory cgroup can be made")
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // This fails while the process is still running; an empty cgroup that stays does no harm.
        drop(fs::remove_dir(&self.0));
    }
}

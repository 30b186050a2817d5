//! A cgroup with little memory, in which a process is started.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A cgroup whose processes are killed if they exceed its memory limit. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    /// Makes a cgroup of version 1, or of version 2 where the memory controller is delegated. Returns none where the machine
    /// permits neither.
    pub(crate) fn make(mebibytes: u32) -> Option<Self> {
        let name = format!("grpcchatter-bench-{}", std::process::id());
        let mounts = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.swappiness"),
            ("/sys/fs/cgroup", "memory.max", "memory.swap.max"),
        ];
        for (mount, limit, swap) in mounts {
            let folder = Path::new(mount).join(&name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let cgroup = Self(folder);
            if fs::write(cgroup.0.join(limit), format!("{mebibytes}M")).is_ok() {
                // The file is missing on a machine without swap.
                drop(fs::write(cgroup.0.join(swap), "0"));
                return Some(cgroup);
            }
        }
        None
    }

    /// Returns a shell command that moves itself into the cgroup, and then executes its arguments.
    pub(crate) fn launcher(&self) -> [String; 3] {
        let script = format!("echo $$ > '{}/cgroup.procs' && exec \"$0\" \"$@\"", self.0.display());
        ["sh".into(), "-c".into(), script]
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // This fails while a process in it is running; an empty cgroup that stays does no harm.
        drop(fs::remove_dir(&self.0));
    }
}

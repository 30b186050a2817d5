//! A cgroup with little memory, in which a process is started.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A cgroup whose processes are killed where they need more memory than it has. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Jail(PathBuf);

impl Jail {
    /// Makes a cgroup with so many MiB: of version 1, or of version 2 where memory is delegated; none where neither may
    /// be made.
    pub(crate) fn with(mebibytes: u32) -> Option<Self> {
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
            let jail = Self(folder);
            if fs::write(jail.0.join(limit), format!("{mebibytes}M")).is_ok() {
                // It is missing where the machine does not swap.
                drop(fs::write(jail.0.join(swap), "0"));
                return Some(jail);
            }
        }
        None
    }

    /// Returns the shell's command line that moves itself in and becomes the program that follows.
    pub(crate) fn tool(&self) -> [String; 3] {
        let script = format!("echo $$ > '{}/cgroup.procs' && exec \"$0\" \"$@\"", self.0.display());
        ["sh".into(), "-c".into(), script]
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        // It fails while a process in it has not ended; an empty cgroup that stays harms nobody.
        drop(fs::remove_dir(&self.0));
    }
}

//! strace attached to the server: it records system calls, or makes them fail.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

/// The longest that strace may take to attach or to detach.
const STRACE_TIMEOUT: Duration = Duration::from_secs(30);

/// strace attached to a process. Dropping it detaches.
#[derive(Debug)]
pub(crate) struct Strace {
    strace: Child,
    file: PathBuf,
}

impl Strace {
    /// Attaches strace to all threads of a process, and returns once every thread is traced.
    pub(crate) async fn attach(process: Pid, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let file = folder.join("trace");
        drop(std::fs::remove_file(&file));
        let strace = Command::new("strace")
            .args(["--follow-forks", "--quiet=attach,exit", "--attach"])
            .arg(process.as_raw_nonzero().to_string())
            .arg("--output")
            .arg(&file)
            .args(arguments)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("strace cannot be started")?;
        let tasks = format!("/proc/{}/task", process.as_raw_nonzero());
        let attached = async {
            while !statuses(&tasks)?.iter().all(|status| is_traced(status)) {
                sleep(Duration::from_millis(10)).await;
            }
            Ok::<_, anyhow::Error>(())
        };
        timeout(STRACE_TIMEOUT, attached).await.context("strace does not attach")??;
        Ok(Self { strace, file })
    }

    /// Detaches, and returns the trace up to this moment. strace detaches one thread after the other, so what it records
    /// while it does so is incomplete, and is cut off.
    pub(crate) async fn detach(mut self) -> Result<String> {
        let recorded = usize::try_from(std::fs::metadata(&self.file)?.len())?;
        let id = self.strace.id().context("strace has ended by itself")?;
        kill_process(Pid::from_raw(i32::try_from(id)?).context("no process has the number 0")?, Signal::INT)?;
        timeout(STRACE_TIMEOUT, self.strace.wait()).await.context("strace does not detach")??;
        let mut trace = std::fs::read(&self.file)?;
        trace.truncate(recorded);
        // The last line may be incomplete.
        let lines = trace.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        Ok(String::from_utf8_lossy(&trace[..lines]).into_owned())
    }
}

/// Returns the status files of a process's threads.
fn statuses(tasks: &str) -> Result<Vec<String>> {
    let tasks = std::fs::read_dir(tasks).context("the server has ended")?.flatten();
    Ok(tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok()).collect())
}

fn is_traced(status: &str) -> bool {
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}

//! A system-call trace of the server: it makes calls fail, or shows that an answer never left before its fdatasync.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

/// How long strace may take to come and to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// strace on a process. Dropping it lets the process go.
#[derive(Debug)]
pub(crate) struct Trace {
    strace: Child,
    file: PathBuf,
}

impl Trace {
    /// Attaches strace to all threads of a process, and returns once it watches them.
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
        let traced = format!("/proc/{}/task", process.as_raw_nonzero());
        let attached = async {
            while !tasks(&traced)?.iter().all(|status| is_traced(status)) {
                sleep(Duration::from_millis(10)).await;
            }
            Ok::<_, anyhow::Error>(())
        };
        timeout(PATIENCE, attached).await.context("strace does not attach")??;
        Ok(Self { strace, file })
    }

    /// Lets the process go, and returns what was seen while all of its threads were watched: strace lets them go one after
    /// the other, so that the last answer for calls that nobody saw.
    pub(crate) async fn detach(mut self) -> Result<String> {
        let seen = usize::try_from(std::fs::metadata(&self.file)?.len())?;
        let id = self.strace.id().context("strace has ended by itself")?;
        kill_process(Pid::from_raw(i32::try_from(id)?).context("no process has the number 0")?, Signal::INT)?;
        timeout(PATIENCE, self.strace.wait()).await.context("strace does not let go")??;
        let mut trace = std::fs::read(&self.file)?;
        trace.truncate(seen);
        // The last line may not have ended.
        let lines = trace.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        Ok(String::from_utf8_lossy(&trace[..lines]).into_owned())
    }
}

fn tasks(folder: &str) -> Result<Vec<String>> {
    let tasks = std::fs::read_dir(folder).context("the server has ended")?.flatten();
    Ok(tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok()).collect())
}

fn is_traced(status: &str) -> bool {
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}

/// The calls that the check of the order reads, for strace.
pub(crate) const CALLS: &[&str] =
    &["--string-limit=100000", "--trace=pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg"];

/// What was found of one message on its way: it was written, that was made durable, it was told.
#[derive(Clone, Copy, Debug)]
struct Way {
    file: usize,
    written: usize,
    durable: bool,
}

/// Returns how many messages were told to clients, and those of them that were told before their write was durable.
/// A message is known by its body, "body of ID.": what is written to a file by pwrite64 is durable once an
/// fdatasync of that file that began later has ended.
///
/// Messages that are first seen before `warm_up` such calls have ended are not judged: a page is written again with what
/// was stored on it before the trace began.
///
/// # Errors
/// Where the trace cannot be read.
pub(crate) fn early(trace: &str, warm_up: usize) -> Result<(usize, Vec<String>)> {
    let mut ways: HashMap<String, Way> = HashMap::new();
    // The call that each thread is in: its name, its file, its beginning.
    let mut begun: HashMap<&str, (&str, usize, usize)> = HashMap::new();
    let (mut told, mut early) = (HashSet::new(), Vec::new());
    let (mut syncs, mut older) = (0, HashSet::new());
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let (name, file, start) = if let Some(resumed) = call.strip_prefix("<... ") {
            let name = resumed.split(' ').next().unwrap_or_default();
            match begun.remove(thread) {
                Some(call) if call.0 == name => call,
                _ => continue,
            }
        } else {
            let Some((name, rest)) = call.split_once('(') else { continue };
            let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
            let Ok(file) = rest[..end].parse() else { continue };
            if call.ends_with("<unfinished ...>") {
                begun.insert(thread, (name, file, number));
            }
            (name, file, number)
        };
        // strace may let a thread go in the middle of a call: how that call ended is not known.
        let ended = !call.ends_with("<unfinished ...>") && !call.ends_with("<detached ...>");
        match name {
            // What a call writes stands where it begins.
            "pwrite64" if start == number => {
                for id in ids(call) {
                    if syncs < warm_up {
                        older.insert(id);
                    } else if !older.contains(&id) {
                        ways.entry(id).or_insert(Way { file, written: number, durable: false });
                    }
                }
            }
            "fdatasync" | "fsync" if ended => {
                ensure!(call.ends_with("= 0"), "{call}");
                syncs += 1;
                for way in ways.values_mut().filter(|way| way.file == file && way.written < start) {
                    way.durable = true;
                }
            }
            "write" | "writev" | "sendto" | "sendmsg" if start == number => {
                for id in ids(call) {
                    match ways.get(&id) {
                        // It was stored before the trace began.
                        None => {}
                        Some(way) if way.durable => drop(told.insert(id)),
                        Some(_) => early.push(id),
                    }
                }
            }
            _ => {}
        }
    }
    if told.is_empty() && early.is_empty() {
        bail!("the trace shows no message on its way");
    }
    Ok((told.len(), early))
}

/// Returns the ids of the messages whose bodies stand in a call.
fn ids(call: &str) -> Vec<String> {
    let bodies = call.split("body of ").skip(1);
    bodies.filter_map(|rest| Some(rest[..rest.find('.')?].to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURABLE: &str = "\
        7 pwrite64(9, \"..body of a-1.x\", 4096, 0) = 4096\n\
        7 fdatasync(9 <unfinished ...>\n\
        8 write(20, \"..body of z-9.\", 80) = 80\n\
        7 <... fdatasync resumed>) = 0\n\
        8 writev(20, [{iov_base=\"..body of a-1.\", iov_len=80}], 1) = 80\n";

    #[test]
    fn what_is_told_after_its_fdatasync_is_in_order() {
        assert_eq!(early(DURABLE, 0).expect("readable"), (1, vec![]));
    }

    #[test]
    fn what_is_told_before_its_fdatasync_has_ended_is_early() {
        let trace = DURABLE.replace("of z-9", "of a-1");
        assert_eq!(early(&trace, 0).expect("readable"), (1, vec!["a-1".to_owned()]));
        // An fdatasync that began before the write, or of another file, does not count.
        let other = DURABLE.replace("fdatasync(9", "fdatasync(10");
        assert_eq!(early(&other, 0).expect("readable").1, ["a-1"]);
        let lines: Vec<&str> = DURABLE.lines().collect();
        let late = [lines[1], lines[0], lines[3], lines[4]].join("\n");
        assert_eq!(early(&late, 0).expect("readable").1, ["a-1"]);
    }

    #[test]
    fn a_call_in_which_strace_let_go_has_made_nothing_durable() {
        let detached =
            DURABLE.replace("<... fdatasync resumed>) = 0", "<... fdatasync resumed> <detached ...>");
        assert_eq!(early(&detached, 0).expect("readable").1, ["a-1"]);
        let after = format!("{DURABLE}7 fsync(9 <detached ...>\n");
        assert_eq!(early(&after, 0).expect("readable"), (1, vec![]));
    }

    #[test]
    fn what_was_stored_before_the_trace_began_is_not_judged() {
        // Its page is written again, and its answer leaves before that is durable.
        let again = DURABLE.replace("of z-9", "of a-1");
        let next = DURABLE.replace("a-1", "b-2");
        assert_eq!(early(&format!("{again}{next}"), 1).expect("readable"), (1, vec![]));
        assert_eq!(early(&format!("{again}{next}"), 0).expect("readable").1, ["a-1"]);
    }

    #[test]
    fn a_trace_without_messages_shows_nothing() {
        assert!(early("7 write(1, \"hello\", 5) = 5\n", 0).is_err());
    }
}

//! Checks in a system-call trace that the server answered no message before the fdatasync that made it durable.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail, ensure};

/// The arguments with which strace records the calls that this check reads.
pub(crate) const STRACE_ARGUMENTS: &[&str] =
    &["--string-limit=100000", "--trace=pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg"];

/// What the trace shows of the messages that were sent to clients.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The ids of those sent after their write was durable.
    pub(crate) in_order: HashSet<String>,
    /// The ids of those sent before.
    pub(crate) early: Vec<String>,
}

/// Checks a trace. A message is known by its body, "body of ID.". What a pwrite64 wrote to a file is durable once an
/// fdatasync or fsync of that file that began after the write has returned.
///
/// Messages that are first written before `warm_up` syncs have returned are not judged: the pages that are written then
/// also hold messages that were stored before the trace began.
///
/// # Errors
/// If a sync failed, or the trace shows no message.
pub(crate) fn check(trace: &str, warm_up: usize) -> Result<Answers> {
    let mut order = Order { warm_up, ..Order::default() };
    let mut calls = Calls::default();
    for (line, text) in trace.lines().enumerate() {
        let Some(call) = calls.parse(line, text) else { continue };
        match call.name {
            // Only the line on which such a call begins shows the data.
            "pwrite64" if call.begun == line => order.written(call.file, line, call.text),
            "fdatasync" | "fsync" if call.has_returned() => order.synced(&call)?,
            "write" | "writev" | "sendto" | "sendmsg" if call.begun == line => order.sent(call.text),
            _ => {}
        }
    }
    if order.answers.in_order.is_empty() && order.answers.early.is_empty() {
        bail!("the trace shows no message");
    }
    Ok(order.answers)
}

/// A line of the trace: a call, the beginning of one, or its end.
struct Call<'t> {
    name: &'t str,
    file: usize,
    /// The line on which the call began.
    begun: usize,
    text: &'t str,
}

impl Call<'_> {
    /// Says whether the call returned on this line. If strace detached during the call, its outcome is unknown.
    fn has_returned(&self) -> bool {
        !self.text.ends_with("<unfinished ...>") && !self.text.ends_with("<detached ...>")
    }
}

/// The call that each thread is in: its name, its file, and the line on which it began.
#[derive(Default)]
struct Calls<'t>(HashMap<&'t str, (&'t str, usize, usize)>);

impl<'t> Calls<'t> {
    fn parse(&mut self, line: usize, text: &'t str) -> Option<Call<'t>> {
        let (thread, text) = text.split_once(' ')?;
        let text = text.trim_start();
        if let Some(resumed) = text.strip_prefix("<... ") {
            let name = resumed.split(' ').next().unwrap_or_default();
            let (name, file, begun) = self.0.remove(thread).filter(|call| call.0 == name)?;
            return Some(Call { name, file, begun, text });
        }
        let (name, rest) = text.split_once('(')?;
        let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
        let file = rest[..end].parse().ok()?;
        if text.ends_with("<unfinished ...>") {
            self.0.insert(thread, (name, file, line));
        }
        Some(Call { name, file, begun: line, text })
    }
}

/// The first write of a message.
#[derive(Clone, Copy, Debug)]
struct Write {
    file: usize,
    line: usize,
    durable: bool,
}

/// The messages of the trace as they are written, made durable, and sent.
#[derive(Default)]
struct Order {
    warm_up: usize,
    writes: HashMap<String, Write>,
    /// The messages that are not judged.
    skipped: HashSet<String>,
    syncs: usize,
    answers: Answers,
}

impl Order {
    fn written(&mut self, file: usize, line: usize, data: &str) {
        for id in ids(data) {
            if self.syncs < self.warm_up {
                self.skipped.insert(id);
            } else if !self.skipped.contains(&id) {
                self.writes.entry(id).or_insert(Write { file, line, durable: false });
            }
        }
    }

    fn synced(&mut self, call: &Call<'_>) -> Result<()> {
        ensure!(call.text.ends_with("= 0"), "{}", call.text);
        self.syncs += 1;
        for write in self.writes.values_mut() {
            write.durable |= write.file == call.file && write.line < call.begun;
        }
        Ok(())
    }

    fn sent(&mut self, data: &str) {
        for id in ids(data) {
            match self.writes.get(&id) {
                // It was stored before the trace began, or is not judged.
                None => {}
                Some(write) if write.durable => drop(self.answers.in_order.insert(id)),
                Some(_) => self.answers.early.push(id),
            }
        }
    }
}

/// Returns the ids of the messages whose bodies a call carries.
fn ids(data: &str) -> Vec<String> {
    let bodies = data.split("body of ").skip(1);
    bodies.filter_map(|rest| Some(rest[..rest.find('.')?].to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of messages in order, and the early ones.
    fn early(trace: &str, warm_up: usize) -> Result<(usize, Vec<String>)> {
        check(trace, warm_up).map(|answers| (answers.in_order.len(), answers.early))
    }

    const DURABLE: &str = "\
        7 pwrite64(9, \"..body of a-1.x\", 4096, 0) = 4096\n\
        7 fdatasync(9 <unfinished ...>\n\
        8 write(20, \"..body of z-9.\", 80) = 80\n\
        7 <... fdatasync resumed>) = 0\n\
        8 writev(20, [{iov_base=\"..body of a-1.\", iov_len=80}], 1) = 80\n";

    #[test]
    fn a_message_sent_after_its_fdatasync_is_in_order() {
        assert_eq!(early(DURABLE, 0).expect("readable"), (1, vec![]));
    }

    #[test]
    fn a_message_sent_before_its_fdatasync_has_returned_is_early() {
        let trace = DURABLE.replace("of z-9", "of a-1");
        assert_eq!(early(&trace, 0).expect("readable"), (1, vec!["a-1".to_owned()]));
        // An fdatasync of another file, or one that began before the write, does not count.
        let other = DURABLE.replace("fdatasync(9", "fdatasync(10");
        assert_eq!(early(&other, 0).expect("readable").1, ["a-1"]);
        let lines: Vec<&str> = DURABLE.lines().collect();
        let late = [lines[1], lines[0], lines[3], lines[4]].join("\n");
        assert_eq!(early(&late, 0).expect("readable").1, ["a-1"]);
    }

    #[test]
    fn an_fdatasync_during_which_strace_detached_makes_nothing_durable() {
        let detached =
            DURABLE.replace("<... fdatasync resumed>) = 0", "<... fdatasync resumed> <detached ...>");
        assert_eq!(early(&detached, 0).expect("readable").1, ["a-1"]);
        let after = format!("{DURABLE}7 fsync(9 <detached ...>\n");
        assert_eq!(early(&after, 0).expect("readable"), (1, vec![]));
    }

    #[test]
    fn messages_stored_before_the_trace_began_are_not_judged() {
        // Its page is written again, and its answer is sent before that write is durable.
        let again = DURABLE.replace("of z-9", "of a-1");
        let next = DURABLE.replace("a-1", "b-2");
        assert_eq!(early(&format!("{again}{next}"), 1).expect("readable"), (1, vec![]));
        assert_eq!(early(&format!("{again}{next}"), 0).expect("readable").1, ["a-1"]);
    }

    #[test]
    fn a_trace_without_messages_is_an_error() {
        assert!(early("7 write(1, \"hello\", 5) = 5\n", 0).is_err());
    }
}

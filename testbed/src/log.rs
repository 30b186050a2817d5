//! The lines that a child process writes.

use std::{
    io::{self, BufRead as _, BufReader},
    process::Stdio,
    thread,
};

use tokio::{
    process::{Child, Command},
    sync::watch,
};

/// Sees each line of a log, and says whether it is kept.
pub type LineFilter = fn(&str) -> bool;

/// The lines that a child process has written to standard output and standard error. A thread reads them, so that the
/// child is never held up by a runtime that is busy or has ended.
#[derive(Debug)]
pub(crate) struct Log {
    lines: watch::Receiver<Vec<String>>,
    /// How many lines [`Self::next`] has passed.
    passed: usize,
}

impl Log {
    /// Starts a process whose lines are kept.
    pub(crate) fn spawn(command: &mut Command, keep: LineFilter) -> io::Result<(Child, Self)> {
        let (reader, writer) = io::pipe()?;
        let child = command.stdout(writer.try_clone()?).stderr(writer).spawn();
        // Closes the copies of the command: an open writing end would keep the reader from the end of the log.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = child?;
        let (sender, lines) = watch::channel(Vec::new());
        thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                // Reading goes on without a log, so that the child is not held up.
                if keep(&line) && !sender.is_closed() {
                    sender.send_modify(|lines| lines.push(line));
                }
            }
        });
        Ok((child, Self { lines, passed: 0 }))
    }

    /// Awaits the first line for which `pick` returns something, after the last one that was found so; nothing if the log
    /// ends without it.
    pub(crate) async fn next<T>(&mut self, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (mut at, mut found) = (self.passed, None);
        let search = |lines: &Vec<String>| {
            while found.is_none() && at < lines.len() {
                found = pick(&lines[at]);
                at += 1;
            }
            found.is_some()
        };
        drop(self.lines.wait_for(search).await);
        if found.is_some() {
            self.passed = at;
        }
        found
    }

    /// Starts again at the first line.
    pub(crate) const fn rewind(&mut self) {
        self.passed = 0;
    }

    /// Awaits the end of the log.
    pub(crate) async fn end(&mut self) {
        drop(self.lines.wait_for(|_| false).await);
    }

    /// Returns the last lines, at most `count`.
    pub(crate) fn tail(&self, count: usize) -> String {
        let lines = self.lines.borrow();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

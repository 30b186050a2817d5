//! I2, I3 and I7 for the streams of readers.

use std::collections::HashMap;

use super::{Invariant, Violations};
use crate::history::{Entry, Event, History, Start};

/// Adds the violations of all readers' streams.
pub(super) fn check(history: &History, violations: &mut Violations) {
    let mut readers: HashMap<usize, Reader<'_>> = HashMap::new();
    let mut times_sent: HashMap<&str, usize> = HashMap::new();
    for event in &history.events {
        match event {
            Event::Sent { id, .. } => *times_sent.entry(id).or_insert(0) += 1,
            Event::Opened { reader, room, start, author } => {
                let log = history.logs.get(*room).map_or(&[][..], Vec::as_slice);
                let first = history.first_seq(*room);
                let reader = readers.entry(*reader).or_insert_with(|| Reader::new(*reader, log, first));
                reader.author = author.as_deref();
                reader.open(start, violations);
            }
            Event::Received { reader, message } => {
                let Some(reader) = readers.get_mut(reader) else { continue };
                let repeated = times_sent.get(message.id.as_str()).is_some_and(|times| *times > 1);
                reader.receive(message, repeated, violations);
            }
            Event::LogReset { reader } => {
                let what = format!("a stream of reader {reader} ended with LOG_RESET");
                violations.add(Invariant::I3, what);
            }
            Event::Left { reader } => {
                if let Some(reader) = readers.get_mut(reader) {
                    reader.left = true;
                }
            }
            Event::Acknowledged { .. } | Event::Failed { .. } => {}
        }
    }
    let mut readers: Vec<_> = readers.into_values().collect();
    readers.sort_unstable_by_key(|reader| reader.number);
    for reader in readers {
        reader.end(violations);
    }
}

/// What one reader has received so far.
struct Reader<'h> {
    number: usize,
    log: &'h [Entry],
    /// The log's first seq.
    first: i64,
    author: Option<&'h str>,
    /// The seq of the next message, once it is known.
    next: Option<i64>,
    left: bool,
}

impl<'h> Reader<'h> {
    fn new(number: usize, log: &'h [Entry], first: i64) -> Self {
        Self { number, log, first, author: None, next: None, left: false }
    }

    fn at(&self, seq: i64) -> Option<&'h Entry> {
        self.log.get(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    fn open(&mut self, start: &Start, violations: &mut Violations) {
        let number = self.number;
        self.next = match start {
            Start::Now(last_seq) => last_seq.map(|seq| seq + 1),
            Start::After { seq: 0, .. } => Some(1),
            Start::After { seq, message_id } => {
                if *seq >= self.first && self.at(*seq).is_none_or(|entry| entry.message_id != *message_id) {
                    let what =
                        format!("reader {number} resumed after {seq}, which is not the message that it had");
                    violations.add(Invariant::I3, what);
                }
                Some(seq + 1)
            }
            Start::Reset { seq, message_id, last_seq } => {
                if self.at(*seq).is_some_and(|entry| entry.message_id == *message_id) {
                    let what = format!("reader {number} was reset, but {seq} is the message that it had");
                    violations.add(Invariant::I3, what);
                }
                last_seq.map(|seq| seq + 1)
            }
        };
    }

    fn receive(&mut self, message: &Entry, repeated: bool, violations: &mut Violations) {
        let (number, seq) = (self.number, message.seq);
        if seq >= self.first && self.at(seq) != Some(message) {
            let what = format!("reader {number} received {message:?}, and the log has {:?}", self.at(seq));
            violations.add(Invariant::I3, what);
        }
        let own = self.author.is_some_and(|author| message.id.starts_with(author));
        match self.next {
            // An answer to a repeated id is not part of the stream's sequence.
            next if own && repeated && next.is_none_or(|next| seq < next) => {}
            Some(next) if seq < next => {
                violations.add(Invariant::I2, format!("reader {number} received {seq} again"));
            }
            Some(next) if seq > next => {
                violations.add(Invariant::I3, format!("reader {number} received {seq} instead of {next}"));
                self.next = Some(seq + 1);
            }
            _ => self.next = Some(seq + 1),
        }
    }

    fn end(&self, violations: &mut Violations) {
        let last = self.log.last().map_or(0, |entry| entry.seq);
        match self.next {
            Some(next) if !self.left && next <= last => {
                let what =
                    format!("reader {} has seen up to {}, and the log has {last}", self.number, next - 1);
                violations.add(Invariant::I7, what);
            }
            _ => {}
        }
    }
}

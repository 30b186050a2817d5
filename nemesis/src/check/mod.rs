//! The invariants of the promise, each checked by a function over a history.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use crate::history::{Entry, Event, History};

mod loss;
mod streams;
#[cfg(test)]
mod tests;

pub use loss::{AfterLoss, check_after_loss};

/// A part of the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Every acknowledged message is in the log once, at its acknowledged seq, with its body.
    I1,
    /// No message is in the log twice, and no reader receives one twice.
    I2,
    /// The log and every stream rise by one from where they begin, and all streams agree with the log. A stream that cannot
    /// resume where its reader was is reset, and no other stream is.
    I3,
    /// A message that is sent after another message of the room was acknowledged has a higher seq.
    I4,
    /// The messages that one author sends on one stream are in the log in the order in which they were sent.
    I5,
    /// Every message in the log was sent.
    I6,
    /// After every fault has healed, each message is answered, and each reader has seen the newest.
    I7,
    /// A message that is sent again is answered with the same seq.
    I8,
}

/// A violation of the promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The part that is violated.
    pub invariant: Invariant,
    /// A sentence that says what was observed.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// Returns every violation in a history.
pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Violations::default();
    let messages = Messages::of(history);
    violations.check_logs(history, &messages);
    violations.check_answers(history, &messages);
    violations.check_real_time_order(history, &messages);
    violations.check_author_order(history, &messages);
    streams::check(history, &mut violations);
    violations.0
}

/// The messages that were sent, and their seqs in the logs.
struct Messages<'h> {
    /// The room and the body of each sent message, by the author's id.
    sent: HashMap<&'h str, (usize, &'h str)>,
    /// The room and the first seq of each id in a log.
    stored: HashMap<&'h str, (usize, i64)>,
}

impl<'h> Messages<'h> {
    fn of(history: &'h History) -> Self {
        let mut sent = HashMap::new();
        for event in &history.events {
            if let Event::Sent { room, id, body, .. } = event {
                sent.entry(id.as_str()).or_insert((*room, body.as_str()));
            }
        }
        let mut stored = HashMap::new();
        for (room, log) in history.logs.iter().enumerate() {
            for entry in log {
                stored.entry(entry.id.as_str()).or_insert((room, entry.seq));
            }
        }
        Self { sent, stored }
    }

    fn seq(&self, id: &str) -> Option<i64> {
        self.stored.get(id).map(|(_, seq)| *seq)
    }
}

#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, invariant: Invariant, what: String) {
        self.0.push(Violation { invariant, what });
    }

    /// I1, I2, I3 and I6 for the logs alone.
    fn check_logs(&mut self, history: &History, messages: &Messages<'_>) {
        let mut seen = HashSet::new();
        for (room, log) in history.logs.iter().enumerate() {
            for (entry, seq) in log.iter().zip(history.first_seq(room)..) {
                let Entry { id, .. } = entry;
                if entry.seq != seq {
                    let what = format!("the log of room {room} has seq {} instead of {seq}", entry.seq);
                    self.add(Invariant::I3, what);
                    break;
                }
                if !id.is_empty() && !seen.insert(id) {
                    self.add(Invariant::I2, format!("{id} is in the log twice, the second time at {seq}"));
                }
                match messages.sent.get(id.as_str()) {
                    None => {
                        self.add(Invariant::I6, format!("no client sent {id:?}, at {seq} of room {room}"));
                    }
                    Some((sent_to, body)) if *sent_to != room || *body != entry.body => {
                        let what =
                            format!("{id} of room {sent_to} is in room {room} at {seq} as {:?}", entry.body);
                        self.add(Invariant::I1, what);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// I1 and I8, and the part of I7 that every message is answered.
    fn check_answers(&mut self, history: &History, messages: &Messages<'_>) {
        let mut answered: HashMap<&str, i64> = HashMap::new();
        for event in &history.events {
            let Event::Acknowledged { id, seq, .. } = event else { continue };
            let kept = messages.sent.get(id.as_str()).map_or(1, |(room, _)| history.first_seq(*room));
            let first = *answered.entry(id).or_insert(*seq);
            if first < kept {
                // Retention has removed the message: sent again, it is a new one.
                answered.insert(id, *seq);
            } else if first != *seq {
                self.add(Invariant::I8, format!("{id} was answered with {first}, and then with {seq}"));
            }
        }
        for (id, seq) in &answered {
            match messages.seq(id) {
                None => {
                    let kept = messages.sent.get(id).map_or(1, |(room, _)| history.first_seq(*room));
                    if *seq >= kept {
                        self.add(Invariant::I1, format!("{id} was acknowledged at {seq} and is lost"));
                    }
                }
                Some(stored) if stored != *seq => {
                    self.add(Invariant::I1, format!("{id} was acknowledged at {seq} and is at {stored}"));
                }
                Some(_) => {}
            }
        }
        for id in messages.sent.keys().filter(|id| !answered.contains_key(*id)) {
            self.add(Invariant::I7, format!("{id} was never answered"));
        }
    }

    /// I4: the newest seq that was acknowledged before a message was first sent is lower than its own.
    fn check_real_time_order(&mut self, history: &History, messages: &Messages<'_>) {
        let mut newest: HashMap<usize, i64> = HashMap::new();
        let mut seen = HashSet::new();
        for event in &history.events {
            match event {
                Event::Sent { room, id, .. } if seen.insert(id) => {
                    let (floor, seq) = (newest.get(room).copied().unwrap_or(0), messages.seq(id));
                    if seq.is_some_and(|seq| seq <= floor) {
                        let what = format!("{id} was sent after {floor} was acknowledged, and is before it");
                        self.add(Invariant::I4, what);
                    }
                }
                Event::Acknowledged { id, seq, .. } => {
                    if let Some((room, _)) = messages.sent.get(id.as_str()) {
                        let newest = newest.entry(*room).or_insert(0);
                        *newest = (*newest).max(*seq);
                    }
                }
                _ => {}
            }
        }
    }

    /// I5, for messages that were first sent and acknowledged on the same Chat stream, without a refusal.
    fn check_author_order(&mut self, history: &History, messages: &Messages<'_>) {
        let mut first: HashMap<&str, Option<usize>> = HashMap::new();
        let mut sent: HashMap<usize, Vec<&str>> = HashMap::new();
        let mut acknowledged = HashSet::new();
        let mut failed = HashSet::new();
        for event in &history.events {
            match event {
                Event::Sent { id, chat, .. } if !first.contains_key(id.as_str()) => {
                    first.insert(id, *chat);
                    sent.entry(chat.unwrap_or(usize::MAX)).or_default().push(id);
                }
                Event::Acknowledged { id, chat, .. } if first.get(id.as_str()) == Some(chat) => {
                    acknowledged.insert(id.as_str());
                }
                Event::Failed { id } => {
                    failed.insert(id.as_str());
                }
                _ => {}
            }
        }
        sent.remove(&usize::MAX);
        for ids in sent.values() {
            let judged = ids.iter().filter(|id| acknowledged.contains(*id) && !failed.contains(*id));
            let mut before: Option<(&str, i64)> = None;
            for id in judged {
                let Some(seq) = messages.seq(id) else { continue };
                if let Some((other, other_seq)) = before.filter(|(_, before)| *before >= seq) {
                    let what = format!("{id} was sent after {other}, and is at {seq} before {other_seq}");
                    self.add(Invariant::I5, what);
                }
                before = Some((id, seq));
            }
        }
    }
}

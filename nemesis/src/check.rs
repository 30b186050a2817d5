//! The invariants, each a function over a history.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use crate::history::{Entry, Event, History, Start};

mod loss;
#[cfg(test)]
mod tests;

pub use loss::{AfterLoss, check_after_loss};

/// A part of the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Every acknowledged message is in the log once, at its acknowledged place, with its body.
    I1,
    /// No message is in the log twice, and no reader is told one twice.
    I2,
    /// The log and every stream rise by one, from where they begin; all streams tell the same. A stream that cannot go on
    /// from where its reader was says so, and only then.
    I3,
    /// What is sent after another message of the room was acknowledged stands behind it.
    I4,
    /// What one author says on one stream stands in the order in which it was said.
    I5,
    /// Nothing is in the log that nobody sent.
    I6,
    /// After everything has healed, every message is answered, and every reader has seen the newest.
    I7,
    /// A message that is sent again is answered with the same place.
    I8,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which part of it.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// Returns every way in which a history breaks the promise.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Found::default();
    let messages = Messages::of(history);
    found.logs(history, &messages);
    found.answers(history, &messages);
    found.real_time_order(history, &messages);
    found.order_of_authors(history, &messages);
    found.streams(history);
    found.0
}

/// What was sent, and where it stands.
struct Messages<'h> {
    /// The room and the body of each message, by the author's id.
    sent: HashMap<&'h str, (usize, &'h str)>,
    /// The first place of each id in its room's log.
    places: HashMap<&'h str, (usize, i64)>,
}

impl<'h> Messages<'h> {
    fn of(history: &'h History) -> Self {
        let mut sent = HashMap::new();
        for event in &history.events {
            if let Event::Sent { room, id, body, .. } = event {
                sent.entry(id.as_str()).or_insert((*room, body.as_str()));
            }
        }
        let mut places = HashMap::new();
        for (room, log) in history.logs.iter().enumerate() {
            for entry in log {
                places.entry(entry.id.as_str()).or_insert((room, entry.seq));
            }
        }
        Self { sent, places }
    }

    fn place(&self, id: &str) -> Option<i64> {
        self.places.get(id).map(|(_, seq)| *seq)
    }
}

#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, invariant: Invariant, what: String) {
        self.0.push(Violation { invariant, what });
    }

    /// I2, I3 and I6, for the logs alone.
    fn logs(&mut self, history: &History, messages: &Messages<'_>) {
        let mut seen = HashSet::new();
        for (room, log) in history.logs.iter().enumerate() {
            for (entry, seq) in log.iter().zip(history.first(room)..) {
                let Entry { id, .. } = entry;
                if entry.seq != seq {
                    let what = format!("the log of room {room} has seq {} where {seq} belongs", entry.seq);
                    self.add(Invariant::I3, what);
                    break;
                }
                if !id.is_empty() && !seen.insert(id) {
                    self.add(Invariant::I2, format!("{id} is in the log twice, the second time at {seq}"));
                }
                match messages.sent.get(id.as_str()) {
                    None => {
                        self.add(Invariant::I6, format!("nobody sent {id:?}, at {seq} of room {room}"));
                    }
                    Some((meant, body)) if *meant != room || *body != entry.body => {
                        let what =
                            format!("{id} of room {meant} is in room {room} at {seq} as {:?}", entry.body);
                        self.add(Invariant::I1, what);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// I1 and I8, and of I7 that every message is answered.
    fn answers(&mut self, history: &History, messages: &Messages<'_>) {
        let mut answered: HashMap<&str, i64> = HashMap::new();
        for event in &history.events {
            let Event::Acknowledged { id, seq, .. } = event else { continue };
            let kept = messages.sent.get(id.as_str()).map_or(1, |(room, _)| history.first(*room));
            let first = *answered.entry(id).or_insert(*seq);
            if first < kept {
                // What is no longer in the log is a new message when it is sent again.
                answered.insert(id, *seq);
            } else if first != *seq {
                self.add(Invariant::I8, format!("{id} was answered with {first}, and then with {seq}"));
            }
        }
        for (id, seq) in &answered {
            match messages.place(id) {
                None => {
                    let kept = messages.sent.get(id).map_or(1, |(room, _)| history.first(*room));
                    if *seq >= kept {
                        self.add(Invariant::I1, format!("{id} was acknowledged at {seq} and is lost"));
                    }
                }
                Some(place) if place != *seq => {
                    self.add(Invariant::I1, format!("{id} was acknowledged at {seq} and is at {place}"));
                }
                Some(_) => {}
            }
        }
        for id in messages.sent.keys().filter(|id| !answered.contains_key(*id)) {
            self.add(Invariant::I7, format!("{id} was never answered"));
        }
    }

    /// I4: the newest place that was acknowledged before a message was first sent is before its own.
    fn real_time_order(&mut self, history: &History, messages: &Messages<'_>) {
        let mut newest: HashMap<usize, i64> = HashMap::new();
        let mut seen = HashSet::new();
        for event in &history.events {
            match event {
                Event::Sent { room, id, .. } if seen.insert(id) => {
                    let (floor, place) = (newest.get(room).copied().unwrap_or(0), messages.place(id));
                    if place.is_some_and(|place| place <= floor) {
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

    /// I5: of what was first sent on one Chat stream and acknowledged on it, without a refusal in between.
    fn order_of_authors(&mut self, history: &History, messages: &Messages<'_>) {
        let mut first: HashMap<&str, Option<usize>> = HashMap::new();
        let mut said: HashMap<usize, Vec<&str>> = HashMap::new();
        let mut on_its_stream = HashSet::new();
        let mut failed = HashSet::new();
        for event in &history.events {
            match event {
                Event::Sent { id, chat, .. } if !first.contains_key(id.as_str()) => {
                    first.insert(id, *chat);
                    said.entry(chat.unwrap_or(usize::MAX)).or_default().push(id);
                }
                Event::Acknowledged { id, chat, .. } if first.get(id.as_str()) == Some(chat) => {
                    on_its_stream.insert(id.as_str());
                }
                Event::Failed { id } => {
                    failed.insert(id.as_str());
                }
                _ => {}
            }
        }
        said.remove(&usize::MAX);
        for ids in said.values() {
            let kept = ids.iter().filter(|id| on_its_stream.contains(*id) && !failed.contains(*id));
            let mut before: Option<(&str, i64)> = None;
            for id in kept {
                let Some(place) = messages.place(id) else { continue };
                if let Some((other, other_place)) = before.filter(|(_, before)| *before >= place) {
                    let what = format!("{id} was said after {other}, and is at {place} before {other_place}");
                    self.add(Invariant::I5, what);
                }
                before = Some((id, place));
            }
        }
    }

    /// I2, I3 and I7 for what readers saw.
    fn streams(&mut self, history: &History) {
        let mut readers: HashMap<usize, Reader<'_>> = HashMap::new();
        let mut times_sent: HashMap<&str, usize> = HashMap::new();
        for event in &history.events {
            match event {
                Event::Sent { id, .. } => *times_sent.entry(id).or_insert(0) += 1,
                Event::Opened { reader, room, start, author } => {
                    let log = history.logs.get(*room).map_or(&[][..], Vec::as_slice);
                    let first = history.first(*room);
                    let before = readers.entry(*reader).or_insert_with(|| Reader::new(*reader, log, first));
                    before.author = author.as_deref();
                    before.open(start, self);
                }
                Event::Received { reader, message } => {
                    let Some(reader) = readers.get_mut(reader) else { continue };
                    let again = times_sent.get(message.id.as_str()).is_some_and(|times| *times > 1);
                    reader.receive(message, again, self);
                }
                Event::LogReset { reader } => {
                    self.add(Invariant::I3, format!("reader {reader} was told that the log was reset"));
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
            reader.end(self);
        }
    }
}

/// What one reader has seen.
struct Reader<'h> {
    number: usize,
    log: &'h [Entry],
    /// The place at which the log begins.
    first: i64,
    author: Option<&'h str>,
    /// The place of the next message, once it is known.
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

    fn open(&mut self, start: &Start, found: &mut Found) {
        let number = self.number;
        self.next = match start {
            Start::Now(last_seq) => last_seq.map(|seq| seq + 1),
            Start::After { seq: 0, .. } => Some(1),
            Start::After { seq, message_id } => {
                if *seq >= self.first && self.at(*seq).is_none_or(|entry| entry.message_id != *message_id) {
                    let what =
                        format!("reader {number} went on after {seq}, which is not the message it had");
                    found.add(Invariant::I3, what);
                }
                Some(seq + 1)
            }
            Start::Reset { seq, message_id, last_seq } => {
                if self.at(*seq).is_some_and(|entry| entry.message_id == *message_id) {
                    let what = format!("reader {number} was reset, but {seq} is the message that it had");
                    found.add(Invariant::I3, what);
                }
                last_seq.map(|seq| seq + 1)
            }
        };
    }

    fn receive(&mut self, message: &Entry, again: bool, found: &mut Found) {
        let (number, seq) = (self.number, message.seq);
        if seq >= self.first && self.at(seq) != Some(message) {
            let what = format!("reader {number} was told {message:?}, and the log has {:?}", self.at(seq));
            found.add(Invariant::I3, what);
        }
        let own = self.author.is_some_and(|author| message.id.starts_with(author));
        match self.next {
            // The answer to one's own message, sent again, is told beside the log: it says nothing of where the stream stands.
            next if own && again && next.is_none_or(|next| seq < next) => {}
            Some(next) if seq < next => {
                found.add(Invariant::I2, format!("reader {number} was told {seq} again"));
            }
            Some(next) if seq > next => {
                found.add(Invariant::I3, format!("reader {number} was told {seq} where {next} comes next"));
                self.next = Some(seq + 1);
            }
            _ => self.next = Some(seq + 1),
        }
    }

    fn end(&self, found: &mut Found) {
        let last = self.log.last().map_or(0, |entry| entry.seq);
        match self.next {
            Some(next) if !self.left && next <= last => {
                let what =
                    format!("reader {} has seen up to {}, and the log has {last}", self.number, next - 1);
                found.add(Invariant::I7, what);
            }
            _ => {}
        }
    }
}

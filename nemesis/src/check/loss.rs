//! What must hold although acknowledged messages were lost, as by a failover to a standby for which nobody waited.
//!
//! The loss is counted. Whoever heard of a lost message is told so before they are told anything of what came in its place.

use std::collections::{HashMap, HashSet};

use super::{Found, Invariant, Messages, Violation};
use crate::history::{Entry, Event, History, Start};

/// What was found.
#[derive(Debug, Default)]
pub struct AfterLoss {
    /// How many acknowledgements name a place at which the log has another message, or none.
    pub lost: usize,
    /// How often a reader was told that the log is not what it was: as a stream ended, or as the next one began.
    pub told: usize,
    /// What must not be, all the same.
    pub violations: Vec<Violation>,
}

/// Counts what was lost, and returns every way in which a history breaks the promise beside that.
pub fn check_after_loss(history: &History) -> AfterLoss {
    let mut found = Found::default();
    let messages = Messages::of(history);
    found.logs(history, &messages);
    let (mut lost, mut told) = (0, 0);
    let mut readers: HashMap<usize, Reader<'_>> = HashMap::new();
    let mut times_sent: HashMap<&str, usize> = HashMap::new();
    let mut answered = HashSet::new();
    for event in &history.events {
        match event {
            Event::Sent { id, .. } => *times_sent.entry(id).or_insert(0) += 1,
            Event::Acknowledged { id, seq, .. } => {
                answered.insert(id.as_str());
                lost += usize::from(messages.place(id) != Some(*seq));
            }
            Event::Opened { reader, room, start, author } => {
                told += usize::from(matches!(start, Start::Reset { .. }) && readers.contains_key(reader));
                let log = history.logs.get(*room).map_or(&[][..], Vec::as_slice);
                let reader = readers.entry(*reader).or_insert_with(|| Reader::new(*reader, log));
                reader.author = author.as_deref();
                reader.open(start, &mut found);
            }
            Event::Received { reader, message } => {
                let again = times_sent.get(message.id.as_str()).is_some_and(|times| *times > 1);
                if let Some(reader) = readers.get_mut(reader) {
                    reader.receive(message, again, &mut found);
                }
            }
            Event::LogReset { .. } => told += 1,
            Event::Left { reader } => drop(readers.remove(reader)),
            Event::Failed { .. } => {}
        }
    }
    for id in messages.sent.keys().filter(|id| !answered.contains(*id)) {
        found.add(Invariant::I7, format!("{id} was never answered"));
    }
    let mut readers: Vec<_> = readers.into_values().collect();
    readers.sort_unstable_by_key(|reader| reader.number);
    readers.iter().for_each(|reader| reader.end(&mut found));
    AfterLoss { lost, told, violations: found.0 }
}

/// What one reader has seen.
struct Reader<'h> {
    number: usize,
    log: &'h [Entry],
    author: Option<&'h str>,
    /// The message that it has, behind which the next one must have been stored.
    last: Option<(i64, &'h str)>,
    /// The place of the next message, or of one after it where `begins` is set.
    next: Option<i64>,
    /// Whether nothing was told yet on a stream that begins with what is said from then on. What was stored while it was
    /// opened may be told on it.
    begins: bool,
}

impl<'h> Reader<'h> {
    fn new(number: usize, log: &'h [Entry]) -> Self {
        Self { number, log, author: None, last: None, next: None, begins: false }
    }

    fn at(&self, seq: i64) -> Option<&'h Entry> {
        self.log.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    fn is_kept(&self, (seq, message_id): (i64, &str)) -> bool {
        self.at(seq).is_some_and(|entry| entry.message_id == message_id)
    }

    fn open(&mut self, start: &'h Start, found: &mut Found) {
        self.begins = !matches!(start, Start::After { .. });
        (self.last, self.next) = match start {
            Start::Now(last_seq) => (None, last_seq.map(|seq| seq + 1)),
            Start::After { seq: 0, .. } => (None, Some(1)),
            // It may have been there still.
            Start::After { seq, message_id } => (Some((*seq, message_id.as_str())), Some(seq + 1)),
            Start::Reset { seq, message_id, last_seq } => {
                if self.is_kept((*seq, message_id)) {
                    let number = self.number;
                    let what = format!("reader {number} was reset, but {seq} is the message that it had");
                    found.add(Invariant::I3, what);
                }
                (None, last_seq.map(|seq| seq + 1))
            }
        };
    }

    fn receive(&mut self, message: &'h Entry, again: bool, found: &mut Found) {
        let own = self.author.is_some_and(|author| message.id.starts_with(author));
        // The answer to one's own message, sent again, is told beside the log: it says nothing of where the stream begins.
        if own && again && (self.begins || self.next.is_none_or(|next| message.seq < next)) {
            return;
        }
        let (number, seq, begins) = (self.number, message.seq, std::mem::take(&mut self.begins));
        match self.next {
            Some(next) if seq < next && !begins => {
                found.add(Invariant::I2, format!("reader {number} was told {seq} again"));
                return;
            }
            Some(next) if seq > next => {
                found.add(Invariant::I3, format!("reader {number} was told {seq} where {next} comes next"));
            }
            _ => {}
        }
        let this = (seq, message.message_id.as_str());
        if let Some(last) = self.last.filter(|last| last.0 + 1 == seq)
            && self.is_kept(this)
            && !self.is_kept(last)
        {
            let what =
                format!("reader {number} was told {} at {}, which is lost, and then {seq}", last.1, last.0);
            found.add(Invariant::I3, what);
        }
        (self.last, self.next) = (Some(this), Some(seq + 1));
    }

    fn end(&self, found: &mut Found) {
        let (number, end) = (self.number, self.log.last().map_or(0, |entry| entry.seq));
        if let Some(last) = self.last.filter(|last| !self.is_kept(*last)) {
            let what = format!("reader {number} was never told that {} at {} is lost", last.1, last.0);
            found.add(Invariant::I3, what);
        } else if let Some(next) = self.next.filter(|next| *next <= end) {
            let what = format!("reader {number} has seen up to {}, and the log has {end}", next - 1);
            found.add(Invariant::I7, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: i64, id: &str) -> Entry {
        Entry { seq, message_id: format!("m-{id}"), id: id.to_owned(), body: format!("body of {id}") }
    }

    fn received(seq: i64, id: &str) -> Event {
        Event::Received { reader: 7, message: entry(seq, id) }
    }

    fn opened(start: Start) -> Event {
        Event::Opened { reader: 7, room: 0, start, author: None }
    }

    fn after(seq: i64, id: &str) -> Start {
        Start::After { seq, message_id: format!("m-{id}") }
    }

    /// Four messages are sent; a failover loses the second, and the others are stored in its place.
    fn check(told: &[Event]) -> (usize, Vec<Invariant>) {
        let mut events = Vec::new();
        for (id, seq) in [("a", 1), ("lost", 2), ("b", 2), ("c", 3)] {
            events.push(Event::Sent {
                room: 0,
                id: id.to_owned(),
                body: format!("body of {id}"),
                chat: None,
            });
            events.push(Event::Acknowledged { id: id.to_owned(), seq, chat: None });
        }
        events.extend_from_slice(told);
        let logs = vec![vec![entry(1, "a"), entry(2, "b"), entry(3, "c")]];
        let AfterLoss { lost, violations, .. } =
            check_after_loss(&History { events, logs, firsts: Vec::new() });
        (lost, violations.into_iter().map(|violation| violation.invariant).collect())
    }

    const HEARD: [fn() -> Event; 3] = [|| opened(after(0, "")), || received(1, "a"), || received(2, "lost")];

    fn heard(then: &[Event]) -> (usize, Vec<Invariant>) {
        let told: Vec<Event> = HEARD.iter().map(|event| event()).chain(then.iter().cloned()).collect();
        check(&told)
    }

    #[test]
    fn a_loss_is_counted_and_whoever_is_told_of_it_is_not_wronged() {
        assert_eq!(check(&[]), (1, vec![]));
        let reset = Start::Reset { seq: 2, message_id: "m-lost".to_owned(), last_seq: Some(2) };
        let told = [Event::LogReset { reader: 7 }, opened(reset), received(3, "c")];
        assert_eq!(heard(&told), (1, vec![]));
        // It was behind, and goes on where it was.
        assert_eq!(check(&[opened(after(1, "a")), received(2, "b"), received(3, "c")]), (1, vec![]));
    }

    #[test]
    fn a_stream_that_goes_over_to_the_other_log_is_reported() {
        assert_eq!(heard(&[received(3, "c")]), (1, vec![Invariant::I3]));
        // Also where it comes back in between.
        assert_eq!(heard(&[opened(after(2, "lost")), received(3, "c")]), (1, vec![Invariant::I3]));
    }

    #[test]
    fn a_reader_who_never_hears_that_a_message_is_lost_is_reported() {
        assert_eq!(heard(&[]), (1, vec![Invariant::I3]));
        assert_eq!(heard(&[Event::Left { reader: 7 }]), (1, vec![]));
    }

    #[test]
    fn a_reset_without_reason_a_gap_and_a_repeat_are_reported_all_the_same() {
        let reset = Start::Reset { seq: 1, message_id: "m-a".to_owned(), last_seq: Some(3) };
        assert_eq!(check(&[opened(after(0, "")), opened(reset)]), (1, vec![Invariant::I3]));
        assert_eq!(
            check(&[opened(after(0, "")), received(1, "a"), received(3, "c")]),
            (1, vec![Invariant::I3])
        );
        let again = [opened(after(2, "b")), received(3, "c"), received(3, "c")];
        assert_eq!(check(&again), (1, vec![Invariant::I2]));
        assert_eq!(check(&[opened(after(1, "a")), received(2, "b")]), (1, vec![Invariant::I7]));
    }

    #[test]
    fn an_answer_beside_the_log_does_not_say_where_a_stream_begins() {
        let again = |id: &str| Event::Sent {
            room: 0,
            id: id.to_owned(),
            body: format!("body of {id}"),
            chat: Some(1),
        };
        let chat = |author: &str| Event::Opened {
            reader: 7,
            room: 0,
            start: Start::Reset { seq: 2, message_id: "m-lost".to_owned(), last_seq: None },
            author: Some(author.to_owned()),
        };
        let told = |author| [again("a"), chat(author), received(1, "a"), received(3, "c")];
        assert_eq!(check(&told("a")), (1, vec![]));
        assert_eq!(check(&told("c")), (1, vec![Invariant::I3]));
    }
}

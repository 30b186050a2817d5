//! The invariants that hold after acknowledged messages were lost, as by a failover to an asynchronous standby.
//!
//! The losses are counted. A reader that received a lost message must be reset before it receives a later one.

use std::collections::{HashMap, HashSet};

use super::{Invariant, Messages, Violation, Violations};
use crate::history::{Entry, Event, History, Start};

/// The result of [`check_after_loss`].
#[derive(Debug, Default)]
pub struct AfterLoss {
    /// The number of acknowledgements with a seq at which the log has another message, or none.
    pub lost: usize,
    /// The number of times that a reader was reset: as a stream ended, or as the next one began.
    pub resets: usize,
    /// The violations besides the losses.
    pub violations: Vec<Violation>,
}

/// Counts the losses in a history, and returns all other violations.
pub fn check_after_loss(history: &History) -> AfterLoss {
    let mut violations = Violations::default();
    let messages = Messages::of(history);
    violations.check_logs(history, &messages);
    let (mut lost, mut resets) = (0, 0);
    let mut readers: HashMap<usize, Reader<'_>> = HashMap::new();
    let mut times_sent: HashMap<&str, usize> = HashMap::new();
    let mut answered = HashSet::new();
    for event in &history.events {
        match event {
            Event::Sent { id, .. } => *times_sent.entry(id).or_insert(0) += 1,
            Event::Acknowledged { id, seq, .. } => {
                answered.insert(id.as_str());
                lost += usize::from(messages.seq(id) != Some(*seq));
            }
            Event::Opened { reader, room, start, author } => {
                resets += usize::from(matches!(start, Start::Reset { .. }) && readers.contains_key(reader));
                let log = history.logs.get(*room).map_or(&[][..], Vec::as_slice);
                let reader = readers.entry(*reader).or_insert_with(|| Reader::new(*reader, log));
                reader.author = author.as_deref();
                reader.open(start, &mut violations);
            }
            Event::Received { reader, message } => {
                let repeated = times_sent.get(message.id.as_str()).is_some_and(|times| *times > 1);
                if let Some(reader) = readers.get_mut(reader) {
                    reader.receive(message, repeated, &mut violations);
                }
            }
            Event::LogReset { .. } => resets += 1,
            Event::Left { reader } => drop(readers.remove(reader)),
            Event::Failed { .. } => {}
        }
    }
    for id in messages.sent.keys().filter(|id| !answered.contains(*id)) {
        violations.add(Invariant::I7, format!("{id} was never answered"));
    }
    let mut readers: Vec<_> = readers.into_values().collect();
    readers.sort_unstable_by_key(|reader| reader.number);
    readers.iter().for_each(|reader| reader.end(&mut violations));
    AfterLoss { lost, resets, violations: violations.0 }
}

/// What one reader has received so far.
struct Reader<'h> {
    number: usize,
    log: &'h [Entry],
    author: Option<&'h str>,
    /// The seq and id of the message that it has; the next one must have been stored after it.
    last: Option<(i64, &'h str)>,
    /// The seq of the next message, once it is known.
    next: Option<i64>,
    /// Whether nothing was received yet on a stream that did not resume. Its first message may have been stored while it was
    /// opened, so that its seq is below `next`.
    is_new: bool,
}

impl<'h> Reader<'h> {
    fn new(number: usize, log: &'h [Entry]) -> Self {
        Self { number, log, author: None, last: None, next: None, is_new: false }
    }

    fn at(&self, seq: i64) -> Option<&'h Entry> {
        self.log.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    fn is_kept(&self, (seq, message_id): (i64, &str)) -> bool {
        self.at(seq).is_some_and(|entry| entry.message_id == message_id)
    }

    fn open(&mut self, start: &'h Start, violations: &mut Violations) {
        self.is_new = !matches!(start, Start::After { .. });
        (self.last, self.next) = match start {
            Start::Now(last_seq) => (None, last_seq.map(|seq| seq + 1)),
            Start::After { seq: 0, .. } => (None, Some(1)),
            // The message may have been in the log when the stream was opened.
            Start::After { seq, message_id } => (Some((*seq, message_id.as_str())), Some(seq + 1)),
            Start::Reset { seq, message_id, last_seq } => {
                if self.is_kept((*seq, message_id)) {
                    let number = self.number;
                    let what = format!("reader {number} was reset, but {seq} is the message that it had");
                    violations.add(Invariant::I3, what);
                }
                (None, last_seq.map(|seq| seq + 1))
            }
        };
    }

    fn receive(&mut self, message: &'h Entry, repeated: bool, violations: &mut Violations) {
        let own = self.author.is_some_and(|author| message.id.starts_with(author));
        // An answer to a repeated id is not part of the stream's sequence.
        if own && repeated && (self.is_new || self.next.is_none_or(|next| message.seq < next)) {
            return;
        }
        let (number, seq, is_new) = (self.number, message.seq, std::mem::take(&mut self.is_new));
        match self.next {
            Some(next) if seq < next && !is_new => {
                violations.add(Invariant::I2, format!("reader {number} received {seq} again"));
                return;
            }
            Some(next) if seq > next => {
                violations.add(Invariant::I3, format!("reader {number} received {seq} instead of {next}"));
            }
            _ => {}
        }
        let this = (seq, message.message_id.as_str());
        if let Some(last) = self.last.filter(|last| last.0 + 1 == seq)
            && self.is_kept(this)
            && !self.is_kept(last)
        {
            let what =
                format!("reader {number} received {} at {}, which is lost, and then {seq}", last.1, last.0);
            violations.add(Invariant::I3, what);
        }
        (self.last, self.next) = (Some(this), Some(seq + 1));
    }

    fn end(&self, violations: &mut Violations) {
        let (number, end) = (self.number, self.log.last().map_or(0, |entry| entry.seq));
        if let Some(last) = self.last.filter(|last| !self.is_kept(*last)) {
            let what = format!("reader {number} was not reset, although {} at {} is lost", last.1, last.0);
            violations.add(Invariant::I3, what);
        } else if let Some(next) = self.next.filter(|next| *next <= end) {
            let what = format!("reader {number} has seen up to {}, and the log has {end}", next - 1);
            violations.add(Invariant::I7, what);
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

    /// Checks a history of four messages, of which a failover loses the second. The third gets the seq of the second.
    fn check(received: &[Event]) -> (usize, Vec<Invariant>) {
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
        events.extend_from_slice(received);
        let logs = vec![vec![entry(1, "a"), entry(2, "b"), entry(3, "c")]];
        let AfterLoss { lost, violations, .. } =
            check_after_loss(&History { events, logs, firsts: Vec::new() });
        (lost, violations.into_iter().map(|violation| violation.invariant).collect())
    }

    const READ: [fn() -> Event; 3] = [|| opened(after(0, "")), || received(1, "a"), || received(2, "lost")];

    fn check_after_read(then: &[Event]) -> (usize, Vec<Invariant>) {
        let events: Vec<Event> = READ.iter().map(|event| event()).chain(then.iter().cloned()).collect();
        check(&events)
    }

    #[test]
    fn a_loss_is_counted_and_a_reader_that_is_reset_is_no_violation() {
        assert_eq!(check(&[]), (1, vec![]));
        let reset = Start::Reset { seq: 2, message_id: "m-lost".to_owned(), last_seq: Some(2) };
        let events = [Event::LogReset { reader: 7 }, opened(reset), received(3, "c")];
        assert_eq!(check_after_read(&events), (1, vec![]));
        // This reader had not received the lost message, and resumes.
        assert_eq!(check(&[opened(after(1, "a")), received(2, "b"), received(3, "c")]), (1, vec![]));
    }

    #[test]
    fn a_stream_that_continues_with_the_other_log_is_reported() {
        assert_eq!(check_after_read(&[received(3, "c")]), (1, vec![Invariant::I3]));
        // Also where it reconnects in between.
        assert_eq!(check_after_read(&[opened(after(2, "lost")), received(3, "c")]), (1, vec![Invariant::I3]));
    }

    #[test]
    fn a_reader_of_a_lost_message_that_is_never_reset_is_reported() {
        assert_eq!(check_after_read(&[]), (1, vec![Invariant::I3]));
        assert_eq!(check_after_read(&[Event::Left { reader: 7 }]), (1, vec![]));
    }

    #[test]
    fn a_reset_without_reason_a_gap_and_a_repeat_are_reported_after_a_loss_too() {
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
    fn an_answer_to_a_repeated_id_does_not_say_where_a_stream_begins() {
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
        let events = |author| [again("a"), chat(author), received(1, "a"), received(3, "c")];
        assert_eq!(check(&events("a")), (1, vec![]));
        assert_eq!(check(&events("c")), (1, vec![Invariant::I3]));
    }
}

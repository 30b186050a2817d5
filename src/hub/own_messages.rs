//! The messages that a stream has sent, until it has gone past them in the log.
//!
//! A message may be published before its author knows that it is stored, and not only by the writer: the poll publishes what
//! it finds, a gap is filled from the log, and a stream that is behind reads pages. So the rules for own messages apply where a
//! frame is put into the stream. A message with a client_message_id is unanswered until then; one without is not echoed.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

/// A stream ends when more messages than this wait to be suppressed: its client does not read.
const MAX_SUPPRESSED: usize = 16 * 1024;

/// The messages of one stream that it has not gone past.
#[derive(Debug, Default)]
pub(super) struct OwnMessages {
    /// How many copies of each message the stream has sent that are not answered, by the message's id in the log.
    unanswered: HashMap<Uuid, usize>,
    /// How many copies those are in all.
    unanswered_count: usize,
    /// The messages that are not echoed to the stream.
    suppressed: HashSet<Uuid>,
}

impl OwnMessages {
    /// Adds a message that is to be answered, unless `limit` are unanswered already. Says whether it was added.
    pub(super) fn await_answer(&mut self, message: Uuid, limit: usize) -> bool {
        if self.unanswered_count >= limit {
            return false;
        }
        self.add(message);
        true
    }

    /// Notes that a message is in the log under another id, since its author had sent it before.
    pub(super) fn is_stored_as(&mut self, message: Uuid, stored: Uuid) {
        if self.answered(message) {
            self.add(stored);
        }
    }

    /// Notes an answer to one copy of a message. Says whether one was unanswered.
    pub(super) fn answered(&mut self, message: Uuid) -> bool {
        let Some(copies) = self.unanswered.get_mut(&message) else { return false };
        *copies -= 1;
        self.unanswered_count -= 1;
        if *copies == 0 {
            self.unanswered.remove(&message);
        }
        true
    }

    /// Keeps a message from the stream. Says whether there was room for one more.
    pub(super) fn suppress(&mut self, message: Uuid) -> bool {
        self.suppressed.len() < MAX_SUPPRESSED && self.suppressed.insert(message)
    }

    pub(super) fn is_suppressed(&self, message: &Uuid) -> bool {
        self.suppressed.contains(message)
    }

    /// Notes that these messages of the log were put into the stream. Each answers every copy of it.
    pub(super) fn pass(&mut self, messages: &[Uuid]) {
        if self.unanswered.is_empty() && self.suppressed.is_empty() {
            return;
        }
        for message in messages {
            if let Some(copies) = self.unanswered.remove(message) {
                self.unanswered_count -= copies;
            }
            self.suppressed.remove(message);
        }
    }

    fn add(&mut self, message: Uuid) {
        *self.unanswered.entry(message).or_default() += 1;
        self.unanswered_count += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use bytes::Bytes;

    use super::*;
    use crate::{
        hub::{
            Chunk, Start, Step, StreamKind,
            tests::fixture::{
                attach, framing, hub, message, messages, poll, read, received, seeded, seqs, slice,
            },
        },
        model::Seq,
    };

    const FIRST: Uuid = Uuid::from_u128(1);
    const SECOND: Uuid = Uuid::from_u128(2);

    #[test]
    fn each_copy_of_a_message_counts_until_it_is_answered() {
        let mut own = OwnMessages::default();
        assert!(own.await_answer(FIRST, 2) && own.await_answer(SECOND, 2));
        assert!(!own.await_answer(Uuid::from_u128(3), 2));
        own.is_stored_as(SECOND, FIRST);
        assert!(!own.await_answer(SECOND, 2), "both are still unanswered");
        own.pass(&[Uuid::from_u128(9), FIRST]);
        assert_eq!(own.unanswered_count, 0, "the log answers both");
        assert!(!own.answered(FIRST) && !own.answered(SECOND));
        own.is_stored_as(SECOND, FIRST);
        assert_eq!(own.unanswered_count, 0, "an answered message does not count again");
    }

    #[test]
    fn a_suppressed_message_is_forgotten_once_the_stream_is_past_it_and_their_number_is_limited() {
        let mut own = OwnMessages::default();
        assert!(own.suppress(FIRST) && own.is_suppressed(&FIRST));
        own.pass(&[FIRST]);
        assert!(!own.is_suppressed(&FIRST));
        let taken = (0..).take_while(|number| own.suppress(Uuid::from_u128(*number))).count();
        assert_eq!(taken, MAX_SUPPRESSED);
    }

    #[test]
    fn a_message_without_an_id_is_not_echoed_from_a_page_of_the_log() {
        let hub = hub(255, usize::MAX);
        let room = seeded(&hub, 3);
        let mut own = attach(&hub, &room, StreamKind::Chat, 0, Start::After(Seq(0)));
        room.suppress_echo(own.key(), message(2).message_id);
        assert!(matches!(poll(&mut own), Poll::Ready(Step::Read(Seq(1)))));
        let page = Chunk::cut(&messages(1..=3), StreamKind::Chat, framing());
        assert_eq!(seqs(own.take_frames(&page[0])).collect::<Vec<_>>(), [1, 3]);
    }

    /// A message may be published, by whichever way, before its author gets the log's answer.
    #[test]
    fn a_message_is_unanswered_until_its_frame_is_put_into_its_stream() {
        let hub = hub(255, usize::MAX);
        let room = seeded(&hub, 0);
        let mut cursor = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
        let key = cursor.key();
        let takes = |number: i64| room.await_answer(key, message(number).message_id, 1);
        assert!(takes(1));
        room.publish(slice(1..=1)).unwrap();
        assert!(!takes(2), "a message that was not read yet is no answer");
        assert_eq!(received(&mut cursor), [1]);
        assert!(takes(2));
        room.observe(Seq(2));
        room.fill(read(2..=2)).unwrap();
        assert_eq!(received(&mut cursor), [2], "the poll has found it");
        assert!(takes(3));
        room.invalidate_frames();
        room.publish(slice(3..=3)).unwrap();
        room.invalidate_frames();
        assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Read(Seq(3)))));
        cursor.take_frames(&Chunk::cut(&messages(3..=3), StreamKind::Chat, framing())[0]);
        cursor.advance(Seq(4));
        assert!(takes(4), "it was read from the log");
        room.answer(key, message(4).message_id, Bytes::from_static(b"rejected"));
        assert!(!takes(5));
        assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Send(_))));
        assert!(takes(5));
        room.withdraw(key, message(5).message_id);
        assert!(takes(6));
    }

    #[test]
    fn a_message_that_was_stored_before_is_answered_by_the_log_or_by_a_copy() {
        let hub = hub(255, usize::MAX);
        let room = seeded(&hub, 1);
        let mut cursor = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
        let key = cursor.key();
        let (again, other) = (Uuid::from_u128(100), Uuid::from_u128(101));
        for stored in [1, 2] {
            assert!(room.await_answer(key, again, 1));
            let found = (Seq(stored), message(stored).message_id);
            room.answer_duplicate(key, again, found, Bytes::from_static(b"copy"));
            assert!(!room.await_answer(key, other, 1));
            // The stream gets the second one from the log.
            room.publish(slice(stored..=stored)).unwrap();
            assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Send(_))));
            assert!(poll(&mut cursor).is_pending());
            assert!(room.await_answer(key, other, 1), "{stored}");
            room.withdraw(key, other);
        }
    }
}

//! A stream's own messages, from when they are taken until they have passed by it.
//!
//! A message may be published before its author hears that it is stored, and by others than the writer: by the poll, by
//! whoever fills a gap, as a page of the log. So what depends on whose message it is happens where its frame is put into
//! the stream. One with a client_message_id is answered there, and counts as unanswered until then; one without is left out.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

/// So many messages that are to be left out may wait until the stream has gone past them. A client that does not read has
/// no more, and is behind.
const MOST_SILENT: usize = 16 * 1024;

/// The messages of one stream that it has not gone past.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Those that are to be answered, by the id that they have in the log, and how often each was sent.
    unanswered: HashMap<Uuid, usize>,
    /// How many answers those are.
    answers: usize,
    /// Those that the stream must not get back.
    silent: HashSet<Uuid>,
}

impl Own {
    /// Takes a message that is to be answered. Says no where `most` are unanswered already.
    pub(super) fn await_answer(&mut self, message: Uuid, most: usize) -> bool {
        if self.answers >= most {
            return false;
        }
        self.add(message);
        true
    }

    /// Notes that a message is in the log under another id: its author had sent it before.
    pub(super) fn is_stored_as(&mut self, message: Uuid, stored: Uuid) {
        if self.answered(message) {
            self.add(stored);
        }
    }

    /// Notes an answer to a message, and says whether there was none yet.
    pub(super) fn answered(&mut self, message: Uuid) -> bool {
        let Some(copies) = self.unanswered.get_mut(&message) else { return false };
        *copies -= 1;
        self.answers -= 1;
        if *copies == 0 {
            self.unanswered.remove(&message);
        }
        true
    }

    /// Leaves a message out. Says no where too many wait.
    pub(super) fn leave_out(&mut self, message: Uuid) -> bool {
        self.silent.len() < MOST_SILENT && self.silent.insert(message)
    }

    /// Says whether a message is left out.
    pub(super) fn is_left_out(&self, message: &Uuid) -> bool {
        self.silent.contains(message)
    }

    /// Notes that the log's messages up to here were put into the stream: each is the answer to every copy of it.
    pub(super) fn pass(&mut self, messages: &[Uuid]) {
        if self.unanswered.is_empty() && self.silent.is_empty() {
            return;
        }
        for message in messages {
            if let Some(copies) = self.unanswered.remove(message) {
                self.answers -= copies;
            }
            self.silent.remove(message);
        }
    }

    fn add(&mut self, message: Uuid) {
        *self.unanswered.entry(message).or_default() += 1;
        self.answers += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use bytes::Bytes;

    use super::*;
    use crate::hub::{
        Chunk, Feed, Start, Step,
        fixture::{attach, framing, hub, message, messages, passage, poll, read, seeded, seqs, told},
    };

    const FIRST: Uuid = Uuid::from_u128(1);
    const AGAIN: Uuid = Uuid::from_u128(2);

    #[test]
    fn a_message_counts_until_it_is_answered_however_often_it_was_sent() {
        let mut own = Own::default();
        assert!(own.await_answer(FIRST, 2) && own.await_answer(AGAIN, 2));
        assert!(!own.await_answer(Uuid::from_u128(3), 2));
        own.is_stored_as(AGAIN, FIRST);
        assert!(!own.await_answer(AGAIN, 2), "the same two are waited for");
        own.pass(&[Uuid::from_u128(9), FIRST]);
        assert_eq!(own.answers, 0, "the log answers both");
        assert!(!own.answered(FIRST) && !own.answered(AGAIN));
        own.is_stored_as(AGAIN, FIRST);
        assert_eq!(own.answers, 0, "what was answered is not waited for again");
    }

    #[test]
    fn what_is_left_out_is_forgotten_once_the_stream_is_past_it_and_is_bounded() {
        let mut own = Own::default();
        assert!(own.leave_out(FIRST) && own.is_left_out(&FIRST));
        own.pass(&[FIRST]);
        assert!(!own.is_left_out(&FIRST));
        let taken = (0..).take_while(|number| own.leave_out(Uuid::from_u128(*number))).count();
        assert_eq!(taken, MOST_SILENT);
    }

    #[test]
    fn a_line_without_an_id_is_kept_from_its_stream_on_a_page_of_the_log_too() {
        let hub = hub(255, usize::MAX);
        let room = seeded(&hub, 3);
        let mut own = attach(&hub, &room, Feed::Chat, 0, Start::After(0));
        room.leave_out(own.place(), message(2).message_id);
        assert!(matches!(poll(&mut own), Poll::Ready(Step::Read(1))));
        let page = Chunk::cut(&messages(1..=3), Feed::Chat, framing());
        assert_eq!(seqs(own.frames(&page[0])).collect::<Vec<_>>(), [1, 3]);
    }

    /// A sender may have heard of its message before the log has answered it: whoever publishes it.
    #[test]
    fn a_message_is_unanswered_until_its_frame_is_put_into_its_stream_and_no_longer() {
        let hub = hub(255, usize::MAX);
        let room = seeded(&hub, 0);
        let mut cursor = attach(&hub, &room, Feed::Chat, 0, Start::Now);
        let place = cursor.place();
        let takes = |number: i64| room.await_answer(place, message(number).message_id, 1);
        assert!(takes(1));
        room.publish(passage(1..=1)).unwrap();
        assert!(!takes(2), "what waits to be read is no answer");
        assert_eq!(told(&mut cursor), [1]);
        assert!(takes(2));
        room.observe(2);
        room.fill(read(2..=2)).unwrap();
        assert_eq!(told(&mut cursor), [2], "the poll has found it");
        assert!(takes(3));
        room.drop_chunks();
        room.publish(passage(3..=3)).unwrap();
        room.drop_chunks();
        assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Read(3))));
        cursor.frames(&Chunk::cut(&messages(3..=3), Feed::Chat, framing())[0]);
        cursor.advance(4);
        assert!(takes(4), "it was read from the log");
        room.answer(place, message(4).message_id, Bytes::from_static(b"rejected"));
        assert!(!takes(5));
        assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Send(_))));
        assert!(takes(5));
        room.withdraw(place, message(5).message_id);
        assert!(takes(6));
    }

    #[test]
    fn a_message_that_was_sent_before_is_answered_by_the_log_or_by_a_copy() {
        let hub = hub(255, usize::MAX);
        let room = seeded(&hub, 1);
        let mut cursor = attach(&hub, &room, Feed::Chat, 0, Start::Now);
        let place = cursor.place();
        let (again, other) = (Uuid::from_u128(100), Uuid::from_u128(101));
        for stored in [1, 2] {
            assert!(room.await_answer(place, again, 1));
            let found = (stored, message(stored).message_id);
            room.repeat(place, again, found, Bytes::from_static(b"copy"));
            assert!(!room.await_answer(place, other, 1));
            // The second is one that the log is about to tell.
            room.publish(passage(stored..=stored)).unwrap();
            assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Send(_))));
            assert!(poll(&mut cursor).is_pending());
            assert!(room.await_answer(place, other, 1), "{stored}");
            room.withdraw(place, other);
        }
    }
}

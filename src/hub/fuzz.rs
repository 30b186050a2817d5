//! A property of every stream, whatever happens around it: it gets the log from its start on, in order, without a gap or a
//! repeat, be it from memory or from the log. If the log loses published messages and grows again, the stream ends before it
//! gets any of the new ones.

use std::{collections::HashMap, sync::Arc, task::Poll};

use super::{
    Chunk, Cursor, Fork, Gap, Hub, Room, Seed, Start, Step, StreamKind,
    tests::fixture::{ROOM, attach_with, framing, hub, id, log_and_seq, message_of, poll, seeded, seqs},
};
use crate::model::{Error, LogSlice, Message, Seq};

/// Messages in the log before anything happens, so that streams can start in the past.
const INITIAL_MESSAGES: i64 = 20;

/// More streams than this would find nothing new.
const MAX_STREAMS: usize = 8;

/// A message, by the number of the log in which it was stored and its seq there.
type Stored = (u64, i64);

/// A room, its log, and its streams.
struct World {
    hub: Hub,
    room: Arc<Room>,
    /// For each message, the number of the log in which it was stored. After a loss the log has a new number.
    log: Vec<u64>,
    log_number: u64,
    /// The message before each message when it was stored.
    previous: HashMap<Stored, Stored>,
    streams: Vec<Stream>,
}

struct Stream {
    cursor: Cursor,
    /// The last message that its client has. The next one must have been stored right after it.
    last: Stored,
}

/// Interprets bytes as events around a room: two for the sizes, then one for each event.
pub fn resume(data: &[u8]) {
    let Some((&[queue, memory], events)) = data.split_first_chunk() else { return };
    let hub = hub(usize::from(queue % 16) + 1, usize::from(memory) * 16);
    let room = seeded(&hub, INITIAL_MESSAGES);
    let (log, previous) = (Vec::new(), HashMap::new());
    let mut world = World { hub, room, log, log_number: 0, previous, streams: Vec::new() };
    world.commit(INITIAL_MESSAGES);
    for &event in events {
        world.happen(event % 8, event >> 3);
    }
    // The first poll may fill a gap and publish messages behind it that the log has lost. The second one finds that.
    world.poll_head();
    world.poll_head();
    for index in (0..world.streams.len()).rev() {
        world.read_all(index, 7);
    }
    for stream in &world.streams {
        assert_eq!(stream.last, world.at(world.last()), "a stream gets everything");
    }
}

impl World {
    fn happen(&mut self, event: u8, argument: u8) {
        let some = usize::from(argument);
        match event {
            0 => self.publish(i64::from(argument % 5) + 1, 0),
            // Another process wrote before, and this one did not publish that.
            1 => self.publish(1, i64::from(argument % 5) + 1),
            2 if self.streams.len() < MAX_STREAMS => self.open(argument),
            3 | 4 if !self.streams.is_empty() => {
                self.read_all(some % self.streams.len(), i64::from(argument % 3) * 40 + 1);
            }
            5 if !self.streams.is_empty() => drop(self.streams.swap_remove(some % self.streams.len())),
            6 if argument.is_multiple_of(2) => self.hub.reclaim(),
            6 if argument % 4 == 1 => self.room.invalidate_frames(),
            6 => self.lose(some % 7),
            7 => self.poll_head(),
            _ => {}
        }
    }

    fn last(&self) -> i64 {
        i64::try_from(self.log.len()).expect("a short log")
    }

    fn at(&self, seq: i64) -> Stored {
        let index = usize::try_from(seq - 1).ok();
        (index.and_then(|index| self.log.get(index)).copied().unwrap_or_default(), seq)
    }

    fn messages(&self, first: i64, last: i64) -> Vec<Message> {
        (first.max(1)..=last).map(|seq| message_of(self.at(seq).0, seq)).collect()
    }

    fn commit(&mut self, count: i64) {
        for _ in 0..count {
            let last = self.at(self.last());
            self.log.push(self.log_number);
            self.previous.insert(self.at(self.last()), last);
        }
    }

    /// Fails over to a database that does not have the newest messages.
    fn lose(&mut self, count: usize) {
        self.log.truncate(self.log.len().saturating_sub(count));
        self.log_number += 1;
    }

    /// Says whether the log has the newest message that a client may have.
    fn holds(&self) -> bool {
        let (seq, known) = self.room.newest_known().expect("seeded");
        let (log, _) = self.at(seq.0);
        seq.0 <= self.last() && (seq == Seq::ZERO || known == Some(id(log, seq.0)))
    }

    /// Commits `missed` messages that are not published, and then `count` that are.
    fn publish(&mut self, count: i64, missed: i64) {
        self.commit(missed);
        let (log, seq) = self.at(self.last());
        let before = (seq > 0).then(|| id(log, seq));
        self.commit(count);
        let published = self.room.publish(LogSlice { before, messages: self.messages(seq + 1, self.last()) });
        if missed % 2 == 0 && matches!(published, Ok(Some(_))) {
            // The log cannot be read just now.
            self.room.give_up_filling();
            return;
        }
        self.fill(published, None);
    }

    /// Does what the poll does once a second: compares the newest message that a client may have with the log's.
    fn poll_head(&mut self) {
        let last = self.last();
        if self.room.newest_known().is_some_and(|(known, _)| known.0 >= last) && !self.holds() {
            self.reset();
        }
        self.fill(Ok(self.room.observe(Seq(last))), Some(last));
    }

    fn fill(&mut self, mut gap: Result<Option<Gap>, Fork>, last: Option<i64>) {
        while let Ok(Some(Gap { first, last: gap_last })) = gap {
            // The gap lies before messages that wait and that the log has lost.
            if first.0 > self.last() {
                self.room.give_up_filling();
                return;
            }
            let messages = self.messages(first.0 - 1, gap_last.0.min(self.last()));
            gap = self.room.fill(LogSlice { before: None, messages });
            gap = gap.map(|next| next.or_else(|| self.room.observe(Seq(last?))));
        }
        if gap.is_err() {
            self.reset();
        }
    }

    fn reset(&mut self) {
        self.hub.close(&self.room, &Error::LogReset);
        for mut stream in self.streams.drain(..) {
            let end = poll(&mut stream.cursor);
            assert!(matches!(end, Poll::Ready(Step::End(Err(Error::LogReset)))), "{end:?}");
        }
        let (log, last_seq) = self.at(self.last());
        let last_message_id = (last_seq > 0).then(|| id(log, last_seq));
        self.room = self.hub.open(ROOM);
        self.room.seed(Seed { last_seq: Seq(last_seq), last_message_id, server: 0 }).expect("it is new");
    }

    fn open(&mut self, argument: u8) {
        // A call that opens a stream compares the room with the log first.
        if !self.holds() {
            self.reset();
        }
        let kind = if argument & 1 == 0 { StreamKind::Subscribe } else { StreamKind::Chat };
        let after = i64::from(argument >> 2) * (self.last() / 8);
        let start = if argument & 2 == 0 { Start::Now } else { Start::After(Seq(after.min(self.last()))) };
        let resume_id = match (start, self.at(after.min(self.last()))) {
            (Start::After(_), (log, seq)) if seq > 0 => Some(id(log, seq)),
            _ => None,
        };
        let (shard, connection) = (usize::from(argument >> 1 & 1), Arc::default());
        let cursor = attach_with(&self.hub, &self.room, kind, shard, (start, resume_id), connection);
        let last = self.at(cursor.next_seq().previous().0);
        self.streams.push(Stream { cursor, last });
    }

    /// Polls a stream until it waits. It reads the log in pages of `page` messages.
    fn read_all(&mut self, index: usize, page: i64) {
        loop {
            let step = poll(&mut self.streams[index].cursor);
            let frames = match step {
                Poll::Ready(Step::Send(frames)) => frames,
                // A reader compares the room with the log first.
                Poll::Ready(Step::Read(_)) if !self.holds() => {
                    drop(self.streams.swap_remove(index));
                    return;
                }
                Poll::Ready(Step::Read(seq)) => {
                    assert_eq!(seq.0, self.streams[index].last.1 + 1, "it reads from its next message on");
                    // It reads no further than what was published.
                    let (published, _) = self.room.head().expect("seeded");
                    assert!(seq <= published, "there is something to read");
                    let read = self.messages(seq.0, published.0.min(seq.0 + page - 1));
                    let cursor = &mut self.streams[index].cursor;
                    let chunks = Chunk::cut(&read, cursor.kind(), framing());
                    let frames = cursor.take_frames(&chunks[0]);
                    cursor.advance(chunks[0].next_seq());
                    frames
                }
                Poll::Ready(Step::Again) => continue,
                Poll::Ready(Step::End(end)) => unreachable!("the stream was not ended: {end:?}"),
                Poll::Pending => return,
            };
            let last = &mut self.streams[index].last;
            for received in seqs(frames).map(log_and_seq) {
                assert_eq!(received.1, last.1 + 1, "a gap or a repeat");
                assert_eq!(self.previous[&received], *last, "it was stored after another message");
                *last = received;
            }
        }
    }
}

#[cfg(test)]
#[test]
fn a_stream_gets_the_log_whatever_happens_around_it() {
    crate::clock::fuzz_inputs("resume").for_each(|data| resume(&data));
}

//! What holds for every stream, whatever happens around it: it is told the log from its start on, in order, without a gap
//! or a repeat, out of memory or out of the log. Where the log loses what was told and grows again, the stream ends before
//! it is told anything of what came instead.

use std::{collections::HashMap, sync::Arc, task::Poll};

use super::{
    Chunk, Cursor, Feed, Fork, Gap, Hub, Room, Seed, Start, Step,
    fixture::{ROOM, attach_with, framing, hub, id, log_and_seq, message_of, poll, seeded, seqs},
};
use crate::model::{Error, Message, Passage};

/// The log is this long before anything happens, so that streams can begin in the past.
const BEFORE: i64 = 20;

/// More streams than this tell nothing new.
const STREAMS: usize = 8;

/// A message, by the number of the log in which it was stored and its place there.
type Told = (u64, i64);

/// A room, its log, and its streams.
struct World {
    hub: Hub,
    room: Arc<Room>,
    /// The messages in their order: in which log each was stored. The log goes back, and then it is another one.
    log: Vec<u64>,
    logs: u64,
    /// What stood before each message when it was stored.
    before: HashMap<Told, Told>,
    streams: Vec<Stream>,
}

struct Stream {
    cursor: Cursor,
    /// The message that its client has, if any, behind which the next one must have been stored.
    last: Told,
}

/// Reads the bytes as what happens to a room, one after the other.
pub fn resume(data: &[u8]) {
    let Some((&[queue, memory], events)) = data.split_first_chunk() else { return };
    let hub = hub(usize::from(queue % 16) + 1, usize::from(memory) * 16);
    let room = seeded(&hub, BEFORE);
    let (log, before) = (Vec::new(), HashMap::new());
    let mut world = World { hub, room, log, logs: 0, before, streams: Vec::new() };
    world.commit(BEFORE);
    for &event in events {
        world.happen(event % 8, event >> 3);
    }
    // What a room holds behind a gap is told when the gap is filled, though the log may have lost it: the next look finds that.
    world.catch_up();
    world.catch_up();
    for place in (0..world.streams.len()).rev() {
        world.hear(place, 7);
    }
    for stream in &world.streams {
        assert_eq!(stream.last, world.at(world.last()), "a stream is told everything");
    }
    // Nobody runs the shards here: what they were told would keep the room, and the room them.
    world.hub.0.shards.iter().for_each(|shard| drop(shard.take()));
}

impl World {
    fn happen(&mut self, what: u8, how: u8) {
        let some = usize::from(how);
        match what {
            0 => self.publish(i64::from(how % 5) + 1, 0),
            // Somebody else wrote before, and this process did not hear of it.
            1 => self.publish(1, i64::from(how % 5) + 1),
            2 if self.streams.len() < STREAMS => self.open(how),
            3 | 4 if !self.streams.is_empty() => {
                self.hear(some % self.streams.len(), i64::from(how % 3) * 40 + 1);
            }
            5 if !self.streams.is_empty() => drop(self.streams.swap_remove(some % self.streams.len())),
            6 if how.is_multiple_of(2) => self.hub.reclaim(),
            6 if how % 4 == 1 => self.room.drop_chunks(),
            6 => self.lose(some % 7),
            7 => self.catch_up(),
            _ => {}
        }
    }

    fn last(&self) -> i64 {
        i64::try_from(self.log.len()).expect("a short log")
    }

    fn at(&self, seq: i64) -> Told {
        let place = usize::try_from(seq - 1).ok();
        (place.and_then(|place| self.log.get(place)).copied().unwrap_or_default(), seq)
    }

    fn messages(&self, first: i64, last: i64) -> Vec<Message> {
        (first.max(1)..=last).map(|seq| message_of(self.at(seq).0, seq)).collect()
    }

    fn commit(&mut self, count: i64) {
        for _ in 0..count {
            let last = self.at(self.last());
            self.log.push(self.logs);
            self.before.insert(self.at(self.last()), last);
        }
    }

    /// Another database takes over, which has not the newest messages.
    fn lose(&mut self, count: usize) {
        self.log.truncate(self.log.len().saturating_sub(count));
        self.logs += 1;
    }

    /// Says whether the log has what the room was told last.
    fn holds(&self) -> bool {
        let (seq, told) = self.room.head().expect("seeded");
        let (log, _) = self.at(seq);
        seq <= self.last() && (seq == 0 || told == Some(id(log, seq)))
    }

    /// Commits `missed` messages and then `count` of which the room is told.
    fn publish(&mut self, count: i64, missed: i64) {
        self.commit(missed);
        let (log, seq) = self.at(self.last());
        let before = (seq > 0).then(|| id(log, seq));
        self.commit(count);
        let heard = self.room.publish(Passage { before, messages: self.messages(seq + 1, self.last()) });
        if missed % 2 == 0 && matches!(heard, Ok(Some(_))) {
            // The log could not be read just now.
            self.room.give_up_filling();
            return;
        }
        self.fill(heard, None);
    }

    /// Does what the poll does once a second: compares the room with the log.
    fn catch_up(&mut self) {
        let last = self.last();
        if self.room.head().is_some_and(|(told, _)| told >= last) && !self.holds() {
            self.reset();
        }
        self.fill(Ok(self.room.observe(last)), Some(last));
    }

    fn fill(&mut self, mut heard: Result<Option<Gap>, Fork>, last: Option<i64>) {
        while let Ok(Some(gap)) = heard {
            // It lies before messages that wait, and that the log has lost.
            if gap.first > self.last() {
                self.room.give_up_filling();
                return;
            }
            let messages = self.messages(gap.first - 1, gap.last.min(self.last()));
            heard = self.room.fill(Passage { before: None, messages });
            heard = heard.map(|next| next.or_else(|| self.room.observe(last?)));
        }
        if heard.is_err() {
            self.reset();
        }
    }

    fn reset(&mut self) {
        self.hub.close(&self.room, &Error::LogReset);
        for mut stream in self.streams.drain(..) {
            let ended = poll(&mut stream.cursor);
            assert!(matches!(ended, Poll::Ready(Step::End(Err(Error::LogReset)))), "{ended:?}");
        }
        let (log, last_seq) = self.at(self.last());
        let last_message_id = (last_seq > 0).then(|| id(log, last_seq));
        self.room = self.hub.open(ROOM);
        self.room.seed(Seed { last_seq, last_message_id, server: 0 }).expect("it is new");
    }

    fn open(&mut self, how: u8) {
        // Whoever opens a stream looks at that, too.
        if !self.holds() {
            self.reset();
        }
        let feed = if how & 1 == 0 { Feed::Subscribe } else { Feed::Chat };
        let after = i64::from(how >> 2) * (self.last() / 8);
        let start = if how & 2 == 0 { Start::Now } else { Start::After(after.min(self.last())) };
        let has = match (start, self.at(after.min(self.last()))) {
            (Start::After(_), (log, seq)) if seq > 0 => Some(id(log, seq)),
            _ => None,
        };
        let (shard, connection) = (usize::from(how >> 1 & 1), Arc::default());
        let cursor = attach_with(&self.hub, &self.room, feed, shard, (start, has), connection);
        let last = self.at(cursor.next_seq() - 1);
        self.streams.push(Stream { cursor, last });
    }

    /// Has a stream hear all that there is. What it must read of the log comes in pages of `page`.
    fn hear(&mut self, place: usize, page: i64) {
        loop {
            let step = poll(&mut self.streams[place].cursor);
            let frames = match step {
                Poll::Ready(Step::Send(frames)) => frames,
                // Whoever reads for it looks whether the log is still the same.
                Poll::Ready(Step::Read(_)) if !self.holds() => {
                    drop(self.streams.swap_remove(place));
                    return;
                }
                Poll::Ready(Step::Read(seq)) => {
                    assert_eq!(seq, self.streams[place].last.1 + 1, "it reads where it stands");
                    // What the room was told is read, and no more.
                    let (told, _) = self.room.head().expect("seeded");
                    assert!(seq <= told, "there is something to read");
                    let read = self.messages(seq, told.min(seq + page - 1));
                    let cursor = &mut self.streams[place].cursor;
                    let chunks = Chunk::cut(&read, cursor.feed(), framing());
                    let frames = cursor.frames(&chunks[0]);
                    cursor.advance(chunks[0].next_seq());
                    frames
                }
                Poll::Ready(Step::Again) => continue,
                Poll::Ready(Step::End(ended)) => unreachable!("nobody ended the stream: {ended:?}"),
                Poll::Pending => return,
            };
            let last = &mut self.streams[place].last;
            for told in seqs(frames).map(log_and_seq) {
                assert_eq!(told.1, last.1 + 1, "a gap or a repeat");
                assert_eq!(self.before[&told], *last, "what was stored behind another message");
                *last = told;
            }
        }
    }
}

#[cfg(test)]
#[test]
fn a_stream_is_told_the_log_whatever_happens_around_it() {
    crate::clock::inputs("resume").for_each(|data| resume(&data));
}

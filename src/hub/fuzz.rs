//! What holds for every stream, whatever happens around it: it is told the log from its start on, in order, without a gap
//! or a repeat, out of memory or out of the log.

use std::{sync::Arc, task::Poll};

use super::{
    Chunk, Cursor, Feed, Hub, Room, Start, Step,
    fixture::{attach, framing, hub, lines, poll, seeded, seqs},
};

/// The log is this long before anything happens, so that streams can begin in the past.
const BEFORE: i64 = 20;

/// More streams than this tell nothing new.
const STREAMS: usize = 8;

/// A room, its log, and its streams with the seq that each is told next.
struct World {
    hub: Hub,
    room: Arc<Room>,
    last: i64,
    streams: Vec<(Cursor, i64)>,
}

/// Reads the bytes as what happens to a room, one after the other.
pub fn resume(data: &[u8]) {
    let Some((&[queue, memory], events)) = data.split_first_chunk() else { return };
    let hub = hub(usize::from(queue % 16) + 1, usize::from(memory) * 16);
    let room = seeded(&hub, BEFORE);
    let mut world = World { hub, room, last: BEFORE, streams: Vec::new() };
    for &event in events {
        world.happen(event % 8, event >> 3);
    }
    world.catch_up();
    for place in 0..world.streams.len() {
        world.hear(place, 7);
        assert_eq!(world.streams[place].1, world.last + 1, "a stream is told everything");
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
            6 => self.room.drop_chunks(),
            7 => self.catch_up(),
            _ => {}
        }
    }

    /// Commits `missed` messages and then `count` of which the room is told.
    fn publish(&mut self, count: i64, missed: i64) {
        let first = self.last + missed + 1;
        self.last += missed + count;
        let mut gap = self.room.publish(lines(first..=self.last));
        while let Some(found) = gap {
            if missed % 2 == 0 {
                // The log could not be read just now.
                self.room.give_up_filling();
                return;
            }
            gap = self.room.fill(lines(found.first..=found.last));
        }
    }

    /// Does what the poll does once a second: compares the room with the log.
    fn catch_up(&mut self) {
        let mut gap = self.room.observe(self.last);
        while let Some(found) = gap {
            gap = self.room.fill(lines(found.first..=found.last)).or_else(|| self.room.observe(self.last));
        }
    }

    fn open(&mut self, how: u8) {
        let feed = if how & 1 == 0 { Feed::Subscribe } else { Feed::Chat };
        let after = i64::from(how >> 2) * (self.last / 8);
        let start = if how & 2 == 0 { Start::Now } else { Start::After(after.min(self.last)) };
        let cursor = attach(&self.hub, &self.room, feed, usize::from(how >> 1 & 1), start);
        let next = cursor.next_seq();
        self.streams.push((cursor, next));
    }

    /// Has a stream hear all that there is. What it must read of the log comes in pages of `page`.
    fn hear(&mut self, place: usize, page: i64) {
        let (cursor, next) = &mut self.streams[place];
        loop {
            let frames = match poll(cursor) {
                Poll::Ready(Step::Send(frames)) => frames,
                Poll::Ready(Step::Read(seq)) => {
                    assert_eq!(seq, *next, "it reads where it stands");
                    assert!(seq <= self.last, "there is something to read");
                    let read = lines(seq..=self.last.min(seq + page - 1));
                    let chunks = Chunk::cut(&read, cursor.feed(), framing());
                    let frames = cursor.frames(&chunks[0]);
                    cursor.advance(chunks[0].next_seq());
                    frames
                }
                Poll::Ready(Step::Again) => continue,
                Poll::Ready(Step::End(ended)) => unreachable!("nobody ended the stream: {ended:?}"),
                Poll::Pending => return,
            };
            for seq in seqs(frames) {
                assert_eq!(seq, *next, "a gap or a repeat");
                *next += 1;
            }
        }
    }
}

#[cfg(test)]
#[test]
fn a_stream_is_told_the_log_whatever_happens_around_it() {
    crate::clock::inputs("resume").for_each(|data| resume(&data));
}

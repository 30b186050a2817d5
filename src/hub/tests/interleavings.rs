//! Whatever threads do to a room at the same time, and in whichever order, each stream gets the log from its start on, in
//! order, without a gap, a repeat or a lost wake-up.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    task::Poll,
};

use super::{
    explore::{self, Limits, Scenario, explore},
    fixture::{
        ROOM, attach, framing, hub_with, id, log_and_seq, message_of, messages, poll, read, seeded, seqs,
        slice,
    },
};
use crate::{
    hub::{Chunk, Cursor, Fork, Gap, Hub, HubConfig, Room, Start, Step, StreamKind},
    metrics::Gauges,
    model::{Error, LogSlice, Seq, Timestamp, UserId},
};

/// seq of the last message.
const LAST: i64 = 6;

const LIMITS: Limits = Limits { delays: 1, random: 2_000 };

type Thread = Box<dyn FnOnce() + Send>;

/// A room, its log in the database, and the number of readers.
#[derive(Clone)]
struct World {
    hub: Hub,
    room: Arc<Room>,
    committed: Arc<AtomicI64>,
    readers: Arc<AtomicUsize>,
}

impl World {
    fn new(readers: usize) -> Self {
        let hub = hub_with(HubConfig { shards: 2, queue: 2, memory: 0, streams_per_user: 0 });
        let room = seeded(&hub, 0);
        let (committed, readers) = (Arc::default(), Arc::new(AtomicUsize::new(readers)));
        Self { hub, room, committed, readers }
    }

    fn thread(&self, act: impl FnOnce(Self) + Send + 'static) -> Thread {
        let world = self.clone();
        Box::new(move || act(world))
    }

    /// The writer: commits, then publishes. Message 4 was committed by another process and must be read.
    fn write(self) {
        for (first, last) in [(1, 1), (2, 3), (5, 5), (6, LAST)] {
            self.committed.store(last, Ordering::SeqCst);
            explore::step();
            let mut gap = self.room.publish(slice(first..=last)).unwrap();
            while let Some(found) = gap {
                explore::step();
                gap = self.read(found);
            }
        }
    }

    /// Publishes messages that were just committed to a log, or read from it for a gap.
    fn publish(&self, messages: &[(u64, i64)]) {
        let first = messages[0];
        let messages = messages.iter().map(|(log, seq)| message_of(*log, *seq)).collect();
        let published = match first {
            (OLD, 1) => self.room.fill(LogSlice { before: None, messages }),
            (_, 2) => self.room.publish(LogSlice { before: Some(id(OLD, 1)), messages }),
            _ => self.room.publish(LogSlice { before: Some(id(NEW, 2)), messages }),
        };
        if published == Err(Fork) {
            explore::step();
            self.hub.close(&self.room, &Error::LogReset);
        }
    }

    fn read(&self, gap: Gap) -> Option<Gap> {
        let next = self.room.fill(read(gap.first.0..=gap.last.0)).unwrap();
        next.or_else(|| self.room.observe(gap.last))
    }

    /// A stream that reads the log to its end, or until it is ended because it did not read.
    fn stream(self, kind: StreamKind, shard: usize, start: Start) {
        explore::step();
        let mut cursor = attach(&self.hub, &self.room, kind, shard, start);
        let mut next = cursor.next_seq().0;
        while next <= LAST {
            let frames = match explore::block_on(|context| cursor.poll(context, None)) {
                Step::Send(frames) => frames,
                Step::Read(seq) => {
                    assert_eq!(seq.0, next, "it reads from its next message on");
                    explore::step();
                    let last = self.committed.load(Ordering::SeqCst).min(seq.0 + 1);
                    let page = Chunk::cut(&messages(seq.0..=last), kind, framing());
                    let frames = cursor.take_frames(&page[0]);
                    cursor.advance(page[0].next_seq());
                    frames
                }
                Step::Again => continue,
                Step::End(Err(Error::StreamBehind)) => break,
                Step::End(ended) => unreachable!("the stream was not ended: {ended:?}"),
            };
            for seq in seqs(frames) {
                assert_eq!(seq, next, "a gap or a repeat");
                next += 1;
            }
        }
        self.end_stream(cursor);
    }

    /// A stream that ends before it reads anything.
    fn open_and_drop(self, kind: StreamKind, shard: usize) {
        explore::step();
        let cursor = attach(&self.hub, &self.room, kind, shard, Start::Now);
        self.end_stream(cursor);
    }

    /// Drops a stream. With the last one, the shards are notified so that they stop.
    fn end_stream(&self, cursor: Cursor) {
        drop(cursor);
        if self.readers.fetch_sub(1, Ordering::SeqCst) == 1 {
            for shard in &*self.hub.0.shards {
                shard.notify(Arc::downgrade(&self.room));
            }
        }
    }

    /// A shard's thread: wakes streams until there are no readers.
    fn serve(self, index: usize) {
        let shard = &self.hub.0.shards[index];
        let mut wakers = Vec::new();
        while self.readers.load(Ordering::SeqCst) > 0 {
            let mut notified = Box::pin(shard.notified());
            explore::block_on(|context| notified.as_mut().poll(context));
            for room in shard.take().iter().filter_map(Weak::upgrade) {
                room.wake(index, shard.second(), &mut wakers);
            }
        }
    }

    /// Nothing is left behind.
    fn end(self) {
        assert_eq!(self.room.stream_counts(), Default::default());
        assert!(!self.room.has_slots());
        assert_eq!(self.room.memory(), 0);
        assert_eq!(self.room.head().map(|(last, _)| last), Some(Seq(LAST)));
        self.hub.leave(ROOM, UserId(1));
        self.hub.evict_if_idle(ROOM);
        assert!(self.hub.get(ROOM).is_none());
    }
}

fn holds(limits: Limits, scenario: impl Fn() -> Scenario) {
    match explore(limits, scenario) {
        Ok(schedules) => println!("{schedules} schedules"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_stream_opens_while_messages_are_published_and_memory_is_reclaimed() {
    for (kind, start) in [(StreamKind::Subscribe, Start::Now), (StreamKind::Chat, Start::After(Seq(0)))] {
        holds(LIMITS, || {
            let world = World::new(2);
            let threads = vec![
                world.thread(World::write),
                world.thread(move |world| world.stream(kind, 0, start)),
                world.thread(move |world| world.open_and_drop(kind, 0)),
                world.thread(|world| world.hub.reclaim()),
                world.thread(|world| world.serve(0)),
            ];
            Scenario { threads, end: Box::new(move || world.end()) }
        });
    }
}

#[test]
fn chunks_are_dropped_while_streams_on_two_shards_read_them() {
    holds(LIMITS, || {
        let world = World::new(2);
        let threads = vec![
            world.thread(World::write),
            world.thread(|world| world.stream(StreamKind::Subscribe, 0, Start::After(Seq(0)))),
            world.thread(|world| world.stream(StreamKind::Subscribe, 1, Start::Now)),
            world.thread(|world| world.room.invalidate_frames()),
            world.thread(|world| world.serve(0)),
            world.thread(|world| world.serve(1)),
        ];
        Scenario { threads, end: Box::new(move || world.end()) }
    });
}

#[test]
fn streams_are_parked_while_they_are_published_to_read_and_end() {
    holds(LIMITS, || {
        let world = World::new(2);
        let threads = vec![
            world.thread(World::write),
            world.thread(|world| world.stream(StreamKind::Subscribe, 0, Start::Now)),
            world.thread(|world| world.open_and_drop(StreamKind::Subscribe, 0)),
            world.thread(|world| {
                // Second 30 of a shard on which streams have been due since second 0.
                world.hub.tick(&world.room, 0, 30, Timestamp::from_seconds(1_000), &mut Vec::new());
                world.hub.fill_gauges(&mut Gauges::default());
            }),
            world.thread(|world| world.serve(0)),
        ];
        Scenario { threads, end: Box::new(move || world.end()) }
    });
}

const OLD: u64 = 0;
const NEW: u64 = 1;

/// Two writers, one of which has lost message 2 in a failover and stored others, and a reader that fills a gap publish in
/// every order. A stream gets the messages of one log, and never goes over to the other.
#[test]
fn two_logs_are_published_crosswise_and_a_stream_gets_one() {
    let slices: [&[(u64, i64)]; 4] =
        [&[(OLD, 2)], &[(NEW, 2)], &[(NEW, 3), (NEW, 4)], &[(OLD, 1), (NEW, 2), (NEW, 3), (NEW, 4)]];
    holds(LIMITS, || {
        let world = World::new(0);
        world.room.publish(slice(1..=1)).unwrap();
        let mut cursor = attach(&world.hub, &world.room, StreamKind::Subscribe, 0, Start::Now);
        let mut threads: Vec<Thread> = Vec::new();
        for messages in slices {
            threads.push(world.thread(move |world| {
                explore::step();
                world.publish(messages);
            }));
        }
        let outcome = Arc::new(std::sync::Mutex::new((Vec::new(), false)));
        let shared = Arc::clone(&outcome);
        let mut poll_once = move || {
            let (received, is_reset) = &mut *shared.lock().unwrap();
            match poll(&mut cursor) {
                Poll::Ready(Step::Send(frames)) => received.extend(seqs(frames).map(log_and_seq)),
                Poll::Ready(Step::End(Err(Error::LogReset))) => *is_reset = true,
                Poll::Ready(other) => unreachable!("{other:?}"),
                Poll::Pending => {}
            }
        };
        threads.push(Box::new(move || {
            for _ in 0..4 {
                explore::step();
                poll_once();
            }
            // What is left comes without a step in between.
            for _ in 0..4 {
                poll_once();
            }
        }));
        let end = move || {
            let (received, is_reset) = &*outcome.lock().unwrap();
            let new = [(NEW, 2), (NEW, 3), (NEW, 4)];
            let is_new = new.starts_with(received);
            let is_old = received[..] == [(OLD, 2)] && (*is_reset || world.hub.get(ROOM).is_none());
            assert!(is_new || is_old, "{received:?}");
        };
        Scenario { threads, end: Box::new(end) }
    });
}

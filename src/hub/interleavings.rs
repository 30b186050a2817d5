//! Subscriptions are watches: whatever threads do to a room at the same time, and in whichever order, each stream is told
//! the log from its start on, in order, without a gap, a repeat or a lost wake-up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    task::Poll,
};

use super::{
    Chunk, Feed, Fork, Gap, Hub, HubConfig, Room, Start, Step,
    explore::{self, Extent, Scenario, explore},
    fixture::{
        ROOM, attach, framing, hub_with, id, log_and_seq, message_of, messages, passage, poll, read, seeded,
        seqs,
    },
};
use crate::{
    metrics::Levels,
    model::{Error, Passage, Timestamp, UserId},
};

/// seq of the last message that is said.
const LAST: i64 = 6;

const EXTENT: Extent = Extent { departures: 1, random: 2_000 };

type Thread = Box<dyn FnOnce() + Send>;

/// A room, the database's log of it, and how many still listen.
#[derive(Clone)]
struct World {
    hub: Hub,
    room: Arc<Room>,
    committed: Arc<AtomicI64>,
    listening: Arc<AtomicUsize>,
}

impl World {
    fn new(listeners: usize) -> Self {
        let hub = hub_with(HubConfig { shards: 2, queue: 2, memory: 0, streams_per_user: 0 });
        let room = seeded(&hub, 0);
        let (committed, listening) = (Arc::default(), Arc::new(AtomicUsize::new(listeners)));
        Self { hub, room, committed, listening }
    }

    fn thread(&self, act: impl FnOnce(Self) + Send + 'static) -> Thread {
        let world = self.clone();
        Box::new(move || act(world))
    }

    /// The writer: commits, and then tells. Message 4 is another session's, and must be read.
    fn speak(self) {
        for (first, last) in [(1, 1), (2, 3), (5, 5), (6, LAST)] {
            self.committed.store(last, Ordering::SeqCst);
            explore::step();
            let mut gap = self.room.publish(passage(first..=last)).unwrap();
            while let Some(found) = gap {
                explore::step();
                gap = self.read(found);
            }
        }
    }

    /// Hands on words that were read from a log, or were just committed to it.
    fn say(&self, words: &[(u64, i64)]) {
        let messages = words.iter().map(|(log, seq)| message_of(*log, *seq)).collect();
        let heard = match words[0] {
            (OLD, 1) => self.room.fill(Passage { before: None, messages }),
            (_, 2) => self.room.publish(Passage { before: Some(id(OLD, 1)), messages }),
            _ => self.room.publish(Passage { before: Some(id(NEW, 2)), messages }),
        };
        if heard == Err(Fork) {
            explore::step();
            self.hub.close(&self.room, &Error::LogReset);
        }
    }

    fn read(&self, gap: Gap) -> Option<Gap> {
        let next = self.room.fill(read(gap.first..=gap.last)).unwrap();
        next.or_else(|| self.room.observe(gap.last))
    }

    /// A stream: is told the log to its end, or that it did not read.
    fn listen(self, feed: Feed, shard: usize, start: Start) {
        explore::step();
        let mut cursor = attach(&self.hub, &self.room, feed, shard, start);
        let mut next = cursor.next_seq();
        while next <= LAST {
            let frames = match explore::block_on(|context| cursor.poll(context, None)) {
                Step::Send(frames) => frames,
                Step::Read(seq) => {
                    assert_eq!(seq, next, "it reads where it stands");
                    explore::step();
                    let last = self.committed.load(Ordering::SeqCst).min(seq + 1);
                    let page = Chunk::cut(&messages(seq..=last), feed, framing());
                    let frames = cursor.frames(&page[0]);
                    cursor.advance(page[0].next_seq());
                    frames
                }
                Step::Again => continue,
                Step::End(Err(Error::StreamBehind)) => break,
                Step::End(ended) => unreachable!("nobody ended the stream: {ended:?}"),
            };
            for seq in seqs(frames) {
                assert_eq!(seq, next, "a gap or a repeat");
                next += 1;
            }
        }
        drop(cursor);
        self.gone();
    }

    /// A stream that ends before it reads anything.
    fn come_and_go(self, feed: Feed, shard: usize) {
        explore::step();
        drop(attach(&self.hub, &self.room, feed, shard, Start::Now));
        self.gone();
    }

    fn gone(&self) {
        if self.listening.fetch_sub(1, Ordering::SeqCst) == 1 {
            for shard in &*self.hub.0.shards {
                shard.tell(Arc::clone(&self.room));
            }
        }
    }

    /// A shard's thread: wakes who has news, until nobody listens.
    fn serve(self, index: usize) {
        let shard = &self.hub.0.shards[index];
        let mut wakers = Vec::new();
        while self.listening.load(Ordering::SeqCst) > 0 {
            let mut notified = Box::pin(shard.notified());
            explore::block_on(|context| notified.as_mut().poll(context));
            for room in shard.take() {
                room.wake(index, shard.now(), &mut wakers);
            }
        }
    }

    /// Nothing is left behind.
    fn end(self) {
        assert_eq!(self.room.streams_open(), [0, 0, 0]);
        assert!(!self.room.has_slots());
        assert_eq!(self.room.memory(), 0);
        assert_eq!(self.room.head().map(|(last, _)| last), Some(LAST));
        self.hub.leave(ROOM, UserId(1));
        self.hub.forget_if_idle(ROOM);
        assert!(self.hub.get(ROOM).is_none());
    }
}

fn holds(extent: Extent, scenario: impl Fn() -> Scenario) {
    match explore(extent, scenario) {
        Ok(schedules) => println!("{schedules} schedules"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_stream_opens_while_things_are_said_and_memory_is_reclaimed() {
    for (feed, start) in [(Feed::Subscribe, Start::Now), (Feed::Chat, Start::After(0))] {
        holds(EXTENT, || {
            let world = World::new(2);
            let threads = vec![
                world.thread(World::speak),
                world.thread(move |world| world.listen(feed, 0, start)),
                world.thread(move |world| world.come_and_go(feed, 0)),
                world.thread(|world| world.hub.reclaim()),
                world.thread(|world| world.serve(0)),
            ];
            Scenario { threads, end: Box::new(move || world.end()) }
        });
    }
}

#[test]
fn frames_are_dropped_while_streams_on_two_shards_read_them() {
    holds(EXTENT, || {
        let world = World::new(2);
        let threads = vec![
            world.thread(World::speak),
            world.thread(|world| world.listen(Feed::Subscribe, 0, Start::After(0))),
            world.thread(|world| world.listen(Feed::Subscribe, 1, Start::Now)),
            world.thread(|world| world.room.drop_chunks()),
            world.thread(|world| world.serve(0)),
            world.thread(|world| world.serve(1)),
        ];
        Scenario { threads, end: Box::new(move || world.end()) }
    });
}

#[test]
fn streams_are_parked_while_they_are_told_something_read_and_end() {
    holds(EXTENT, || {
        let world = World::new(2);
        let threads = vec![
            world.thread(World::speak),
            world.thread(|world| world.listen(Feed::Subscribe, 0, Start::Now)),
            world.thread(|world| world.come_and_go(Feed::Subscribe, 0)),
            world.thread(|world| {
                // A shard's second 30, for streams that have waited since its second 0.
                world.hub.tick(&world.room, 0, 30, Timestamp::from_seconds(1_000), &mut Vec::new());
                world.hub.tell(&mut Levels::default());
            }),
            world.thread(|world| world.serve(0)),
        ];
        Scenario { threads, end: Box::new(move || world.end()) }
    });
}

const OLD: u64 = 0;
const NEW: u64 = 1;

/// Two writers, one of which has lost message 2 to a failover and stored others, and whoever fills a gap: their words come
/// in every order, and a stream hears one log or the other, and never goes over.
#[test]
fn a_log_that_was_told_and_one_that_grew_in_its_place_are_told_crosswise() {
    let words: [&[(u64, i64)]; 4] =
        [&[(OLD, 2)], &[(NEW, 2)], &[(NEW, 3), (NEW, 4)], &[(OLD, 1), (NEW, 2), (NEW, 3), (NEW, 4)]];
    holds(EXTENT, || {
        let world = World::new(0);
        world.room.publish(passage(1..=1)).unwrap();
        let mut listening = attach(&world.hub, &world.room, Feed::Subscribe, 0, Start::Now);
        let mut threads: Vec<Thread> = Vec::new();
        for words in words {
            threads.push(world.thread(move |world| {
                explore::step();
                world.say(words);
            }));
        }
        let listens = Arc::new(std::sync::Mutex::new((Vec::new(), false)));
        let heard = Arc::clone(&listens);
        let mut listen = move || {
            let (told, is_reset) = &mut *heard.lock().unwrap();
            match poll(&mut listening) {
                Poll::Ready(Step::Send(frames)) => told.extend(seqs(frames).map(log_and_seq)),
                Poll::Ready(Step::End(Err(Error::LogReset))) => *is_reset = true,
                Poll::Ready(other) => unreachable!("{other:?}"),
                Poll::Pending => {}
            }
        };
        threads.push(Box::new(move || {
            for _ in 0..4 {
                explore::step();
                listen();
            }
            // What is left comes at once.
            for _ in 0..4 {
                listen();
            }
        }));
        let end = move || {
            let (told, is_reset) = &*listens.lock().unwrap();
            let is_new = told.iter().copied().eq([(NEW, 2), (NEW, 3), (NEW, 4)].into_iter().take(told.len()));
            assert!(
                is_new || (told[..] == [(OLD, 2)] && (*is_reset || world.hub.get(ROOM).is_none())),
                "{told:?}"
            );
        };
        Scenario { threads, end: Box::new(end) }
    });
}

//! Rooms in memory: the newest messages, framed; the streams that read them; who is present.
//!
//! Members have no queues. A stream is a [`Cursor`] into its room's chunks, and a cursor that falls behind the chunks reads
//! the log instead. Each shard has its own part of each room, so a message crosses threads once for each shard and not once
//! for each stream.

mod cursor;
mod room;
mod part;
mod slot;
mod heartbeat;
mod tail;
mod chunk;
mod direct;
mod own_messages;
mod permit;
mod connection;
mod event;
mod presence;
mod presence_queue;
mod shard;
mod sync;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(any(test, fuzzing))]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

pub use self::{
    chunk::{Chunk, frame, frame_event},
    connection::Connection,
    cursor::{Attached, Cursor, Step},
    event::{Event, Framing, StreamKind},
    permit::{Permit, Permits},
    presence::{Change, Person},
    room::{Attach, CacheGeneration, Fork, Gap, Room, Seed, SlotKey, Start, ids_differ},
};
use self::{
    presence::Departure, presence_queue::PresenceQueue, room::CacheGenerations, shard::Shard, sync::Mutex,
};
use crate::{
    clock::Clock,
    metrics::Gauges,
    model::{Error, RoomId, StreamId, Timestamp, UserId},
};

/// Sizes and limits.
#[derive(Clone, Copy, Debug)]
pub struct HubConfig {
    /// The number of shards.
    pub shards: usize,
    /// How many of a room's newest messages are kept while it has streams. Fewer only if not even these fit in `memory`.
    pub queue: usize,
    /// How many bytes of chunks are kept in all.
    pub memory: usize,
    /// How many streams a user may have open. 0 means no limit.
    pub streams_per_user: usize,
}

/// How often presence changes are published.
const PRESENCE_INTERVAL: Duration = Duration::from_millis(250);

/// How often idle rooms are evicted.
const IDLE_CHECK_SECONDS: u32 = 60;

/// A handle to the rooms in memory. Clones share them.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    config: HubConfig,
    /// Whether the server drains: a stream that is opened now ends at once.
    draining: AtomicBool,
    framing: Framing,
    clock: Clock,
    /// The rooms with a stream or somebody present.
    rooms: Mutex<HashMap<RoomId, Arc<Room>>>,
    /// Rooms that were evicted or closed and have undropped streams. They are still ticked, so that the connection of a client
    /// that does not read the end of its stream is closed.
    closing: Mutex<Vec<Arc<Room>>>,
    shards: Arc<[Shard<Weak<Room>>]>,
    generations: CacheGenerations,
    permits: Permits,
    next_stream: AtomicU64,
    /// Bytes of chunks, counted as if each shard kept an equal share of each chunk.
    memory: Arc<AtomicUsize>,
    presence_queue: PresenceQueue,
}

impl Hub {
    /// Makes an empty hub.
    pub fn new(config: HubConfig, framing: Framing, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            config,
            draining: AtomicBool::new(false),
            framing,
            clock,
            rooms: Mutex::default(),
            closing: Mutex::default(),
            shards: (0..config.shards).map(|_| Shard::default()).collect(),
            generations: CacheGenerations::default(),
            permits: Permits::new(config.streams_per_user),
            next_stream: AtomicU64::new(1),
            memory: Arc::default(),
            presence_queue: PresenceQueue::default(),
        }))
    }

    /// Returns how messages and events become bytes.
    pub fn framing(&self) -> Framing {
        self.0.framing
    }

    /// Returns the limit on each user's open streams, which also knows the rooms that they are in.
    pub fn permits(&self) -> &Permits {
        &self.0.permits
    }

    /// Returns the id of a new stream.
    pub fn stream_id(&self) -> StreamId {
        StreamId(self.0.next_stream.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns the id under which the log is to store a new message.
    pub fn message_id(&self) -> Uuid {
        self.0.clock.uuid()
    }

    /// Returns a room, which is opened if it is not in memory.
    pub fn open(&self, id: RoomId) -> Arc<Room> {
        let mut rooms = self.0.rooms.lock();
        let new = || {
            let memory = Arc::clone(&self.0.memory);
            let (shards, generations) = (Arc::clone(&self.0.shards), self.0.generations.clone());
            Arc::new(Room::new(id, self.0.framing, shards, memory, generations))
        };
        Arc::clone(rooms.entry(id).or_insert_with(new))
    }

    /// Returns a room if it is in memory.
    pub fn get(&self, id: RoomId) -> Option<Arc<Room>> {
        self.0.rooms.lock().get(&id).cloned()
    }

    /// Returns all rooms in memory, but for those that are closing.
    pub fn rooms(&self) -> Vec<Arc<Room>> {
        self.0.rooms.lock().values().cloned().collect()
    }

    /// Evicts a room that has no served stream and nobody present.
    pub fn evict_if_idle(&self, id: RoomId) {
        let mut rooms = self.0.rooms.lock();
        if rooms.get(&id).is_some_and(|room| room.close_if_idle()) {
            // Parked streams do not keep it from being evicted.
            let room = rooms.remove(&id);
            self.keep_closing(room);
        }
    }

    /// Evicts a room and ends its streams with a refusal, because it was deleted or its log is not the published one. Does
    /// nothing for a room that was evicted already, since its successor may be in memory.
    pub fn close(&self, room: &Arc<Room>, error: &Error) {
        let mut rooms = self.0.rooms.lock();
        if rooms.get(&room.id()).is_some_and(|known| Arc::ptr_eq(known, room)) {
            rooms.remove(&room.id());
            drop(rooms);
            room.close(error);
            self.keep_closing(Some(Arc::clone(room)));
        }
    }

    fn keep_closing(&self, room: Option<Arc<Room>>) {
        self.0.closing.lock().extend(room.filter(|room| room.has_slots()));
    }

    /// Returns all rooms that may have streams, those that are closing among them.
    fn all_rooms(&self) -> Vec<Arc<Room>> {
        let mut rooms = self.rooms();
        rooms.extend(self.0.closing.lock().iter().cloned());
        rooms
    }

    /// Opens a cursor for a stream, and makes its user present.
    ///
    /// # Errors
    /// Returns the request if the room was evicted meanwhile: open it again.
    pub fn attach(&self, room: &Arc<Room>, attach: Attach) -> Result<Attached, Box<Attach>> {
        let now = self.0.clock.now();
        let attached = Cursor::attach(room, attach, now, self.0.presence_queue.clone())?;
        self.0.presence_queue.add(room.id());
        // Read after the stream is in its room: `drain` has either ended it or set this before.
        if self.0.draining.load(Ordering::SeqCst) {
            room.end(attached.cursor.key(), Error::Draining);
        }
        Ok(attached)
    }

    /// Ends every stream with [`Error::Draining`], and from now on each that is opened.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        for room in self.rooms() {
            room.end_all(&Error::Draining);
        }
    }

    /// Makes a user present who entered a room and has no stream yet.
    pub fn enter(&self, id: RoomId, user: UserId, name: &Arc<str>) {
        loop {
            let room = self.open(id);
            if room.with_presence(|presence| presence.enter(user, name, self.0.clock.now())).is_some() {
                break;
            }
        }
        self.0.presence_queue.add(id);
    }

    /// Makes a user absent at once, because their membership ended.
    pub fn leave(&self, id: RoomId, user: UserId) {
        if let Some(room) = self.get(id) {
            room.with_presence(|presence| presence.leave(user));
            self.0.presence_queue.add(id);
        }
    }

    /// Ends a user's presence on this stream before the stream itself ends. Their other streams keep them present.
    pub fn leave_with_stream(&self, room: &Room, user: UserId, stream: StreamId) {
        self.close_presence(room, user, stream, Departure::Immediate);
    }

    fn close_presence(&self, room: &Room, user: UserId, stream: StreamId, departure: Departure) {
        room.with_presence(|presence| presence.close(user, stream, departure));
        self.0.presence_queue.add(room.id());
    }

    /// Returns who is present in a room.
    pub fn people(&self, id: RoomId) -> Vec<(UserId, Person)> {
        self.get(id).and_then(|room| room.with_presence(|presence| presence.people())).unwrap_or_default()
    }

    /// Publishes presence changes, those of 250 ms together, until it is dropped. Runs once, on the core runtime.
    pub async fn run_presence(&self) {
        loop {
            self.0.presence_queue.wait().await;
            tokio::time::sleep(PRESENCE_INTERVAL).await;
            let due = self.0.presence_queue.take();
            let now = Instant::now();
            for id in due {
                let Some(room) = self.get(id) else { continue };
                if room.flush_presence(now) {
                    self.0.presence_queue.add_again(id);
                } else {
                    self.evict_if_idle(id);
                }
            }
        }
    }

    /// Wakes the streams of shard `index` and ticks once a second, until it is dropped. Runs once on each shard's
    /// own runtime.
    pub async fn run_shard(&self, index: usize) {
        let shard = &self.0.shards[index];
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut wakers = Vec::new();
        loop {
            tokio::select! {
                () = shard.notified() => {
                    for room in shard.take().iter().filter_map(Weak::upgrade) {
                        room.wake(index, shard.second(), &mut wakers);
                    }
                }
                _ = seconds.tick() => self.tick_shard(index, shard.tick(), &mut wakers),
            }
        }
    }

    fn tick_shard(&self, index: usize, second: u32, wakers: &mut Vec<Waker>) {
        let now = self.0.clock.now();
        if index == 0 {
            self.0.closing.lock().retain(|room| room.has_slots());
        }
        for room in self.all_rooms() {
            self.tick(&room, index, second, now, wakers);
            // A call that opened a room may have ended before it attached a stream.
            if index == 0 && second.is_multiple_of(IDLE_CHECK_SECONDS) {
                self.evict_if_idle(room.id());
            }
        }
    }

    fn tick(&self, room: &Room, index: usize, second: u32, now: Timestamp, wakers: &mut Vec<Waker>) {
        for (user, stream) in room.tick(index, second, now, wakers) {
            self.close_presence(room, user, stream, Departure::AfterGrace);
        }
    }

    /// Adds what is open and kept now to the gauges.
    pub fn fill_gauges(&self, gauges: &mut Gauges) {
        gauges.rooms = self.0.rooms.lock().len();
        gauges.hub_bytes = self.0.memory.load(Ordering::Relaxed);
        for room in self.all_rooms() {
            let streams = room.stream_counts();
            gauges.subscriptions += streams.subscriptions;
            gauges.chats += streams.chats;
            gauges.parked += streams.parked;
        }
    }

    /// Frees memory if more than HUB_MEMORY is kept, until it is 10 % below that. The least active rooms are trimmed first:
    /// all of them to `queue` messages, and if that is not enough, to one.
    pub fn reclaim(&self) {
        let limit = self.0.config.memory;
        if self.0.memory.load(Ordering::Relaxed) <= limit {
            return;
        }
        let mut rooms = self.rooms();
        rooms.sort_by_cached_key(|room| room.last_active());
        for keep in [self.0.config.queue, 1] {
            for room in &rooms {
                if self.0.memory.load(Ordering::Relaxed) <= limit / 10 * 9 {
                    return;
                }
                room.trim(keep);
            }
        }
    }
}

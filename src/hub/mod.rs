//! Rooms in memory: the newest messages, framed; the streams that read them; who is present.
//!
//! There is no queue for each member. A stream is a [`Cursor`] into its room's chunks, and a cursor that falls
//! behind what is kept reads the log instead. Each shard has its own part of each room, so that a delivery crosses
//! threads once for each shard and not once for each stream.

mod aside;
mod chunk;
mod connection;
mod cursor;
#[cfg(test)]
mod explore;
#[cfg(any(test, fuzzing))]
mod fixture;
#[cfg(test)]
mod forks;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod interleavings;
mod own;
mod permit;
mod presence;
#[cfg(test)]
mod properties;
mod room;
mod shard;
mod sync;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

pub use self::{
    chunk::{Chunk, frame, frame_event},
    connection::Connection,
    cursor::{Cursor, Step},
    permit::{Permit, Permits},
    presence::{Change, Person},
    room::{Attach, Attached, Era, Fork, Gap, Place, Room, Seed, Start, is_another},
};
use crate::{
    clock::Clock,
    metrics::Levels,
    model::{self, Error, Message, RoomId, StreamId, Timestamp, UserId},
};
use room::Eras;
use shard::Shard;
use sync::Mutex;

/// The two shapes in which the log is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feed {
    /// Events, one of which is a message.
    Subscribe,
    /// Messages alone.
    Chat,
}

/// What else than messages a stream tells.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first of all.
    Subscribed {
        /// The room.
        room: model::Room,
        /// Whether the resume point could not be continued from.
        reset: bool,
    },
    /// All that was stored before the call has been told.
    CaughtUp(i64),
    /// Who is present, in full, and how many they are.
    Presence(Vec<Person>, usize),
    /// Who came and who left.
    PresenceChange(Change),
    /// Nothing else was told for a while. With the seq of the newest message.
    Heartbeat(Feed, i64),
    /// The room has a new name.
    RoomUpdated(model::Room),
    /// The server is going away.
    Draining(Duration),
    /// A message of a chat was not taken.
    Rejected {
        /// What its author calls it.
        client_message_id: String,
        /// Why.
        error: Error,
    },
}

/// How messages and events become bytes; the gateway knows, the hub does not.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    /// Writes a message as the feed tells it.
    pub message: fn(Feed, &Message, &mut BytesMut),
    /// Writes an event as a subscription tells it.
    pub event: fn(&Event, &mut BytesMut),
}

/// Sizes and bounds.
#[derive(Clone, Copy, Debug)]
pub struct HubConfig {
    /// How many shards there are.
    pub shards: usize,
    /// As many of a room's newest messages are kept while it has listeners, if they fit at all.
    pub queue: usize,
    /// How many bytes of chunks are kept in all.
    pub memory: usize,
    /// How many streams a user may have open; 0 is any number.
    pub streams_per_user: usize,
}

/// How often changes of presence are told.
const PRESENCE_INTERVAL: Duration = Duration::from_millis(250);

/// How often rooms are looked for that nobody holds.
const IDLE_CHECK_SECONDS: u32 = 60;

/// A handle to the rooms in memory. Clones share them.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    config: HubConfig,
    framing: Framing,
    clock: Clock,
    /// The rooms with a stream or somebody present.
    rooms: Mutex<HashMap<RoomId, Arc<Room>>>,
    /// Rooms that were forgotten while they had streams, which are served until they have ended: a client that does not
    /// read its stream's end must not keep it for ever.
    lingering: Mutex<Vec<Arc<Room>>>,
    shards: Arc<[Shard]>,
    eras: Eras,
    permits: Permits,
    streams: AtomicU64,
    /// Bytes of chunks, as if each shard kept an equal part of each.
    memory: Arc<AtomicUsize>,
    /// Rooms whose presence may have changed.
    unsettled: Mutex<HashSet<RoomId>>,
    settle: Notify,
}

impl Hub {
    /// Makes an empty hub.
    pub fn new(config: HubConfig, framing: Framing, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            config,
            framing,
            clock,
            rooms: Mutex::default(),
            lingering: Mutex::default(),
            shards: (0..config.shards).map(|_| Shard::default()).collect(),
            eras: Eras::default(),
            permits: Permits::new(config.streams_per_user),
            streams: AtomicU64::new(1),
            memory: Arc::default(),
            unsettled: Mutex::default(),
            settle: Notify::new(),
        }))
    }

    /// Returns how things become bytes.
    pub fn framing(&self) -> Framing {
        self.0.framing
    }

    /// Returns the bound on each user's open streams, which knows where they are.
    pub fn permits(&self) -> &Permits {
        &self.0.permits
    }

    /// Names a new stream.
    pub fn stream_id(&self) -> StreamId {
        StreamId(self.0.streams.fetch_add(1, Ordering::Relaxed))
    }

    /// Names a new message, as the log will.
    pub fn message_id(&self) -> Uuid {
        self.0.clock.uuid()
    }

    /// Returns a room, which is remembered while it has a stream or somebody present.
    pub fn open(&self, id: RoomId) -> Arc<Room> {
        let mut rooms = self.0.rooms.lock();
        let made = || {
            let memory = Arc::clone(&self.0.memory);
            let (shards, eras) = (Arc::clone(&self.0.shards), self.0.eras.clone());
            Arc::new(Room::new(id, self.0.framing, shards, memory, eras))
        };
        Arc::clone(rooms.entry(id).or_insert_with(made))
    }

    /// Returns a room that is remembered.
    pub fn get(&self, id: RoomId) -> Option<Arc<Room>> {
        self.0.rooms.lock().get(&id).cloned()
    }

    /// Returns all rooms that are remembered.
    pub fn rooms(&self) -> Vec<Arc<Room>> {
        self.0.rooms.lock().values().cloned().collect()
    }

    /// Forgets a room if nothing holds it: no stream, nobody present.
    pub fn forget_if_idle(&self, id: RoomId) {
        let mut rooms = self.0.rooms.lock();
        if rooms.get(&id).is_some_and(|room| room.close_if_idle()) {
            // Streams that are set aside do not count as holding it.
            let room = rooms.remove(&id);
            self.let_linger(room);
        }
    }

    /// Forgets a room, whoever is in it, and ends its streams with a refusal: it was deleted, or its log is not what was
    /// told. Whoever finds that out second does nothing, since its successor may be there already.
    pub fn close(&self, room: &Arc<Room>, error: &Error) {
        let mut rooms = self.0.rooms.lock();
        if rooms.get(&room.id()).is_some_and(|known| Arc::ptr_eq(known, room)) {
            rooms.remove(&room.id());
            drop(rooms);
            room.close(error);
            self.let_linger(Some(Arc::clone(room)));
        }
    }

    fn let_linger(&self, room: Option<Arc<Room>>) {
        self.0.lingering.lock().extend(room.filter(|room| room.has_slots()));
    }

    /// Returns all rooms that have streams to be served, those that were forgotten among them.
    fn served(&self) -> Vec<Arc<Room>> {
        let mut rooms = self.rooms();
        rooms.extend(self.0.lingering.lock().iter().cloned());
        rooms
    }

    /// Opens a cursor for a stream, and makes its user present.
    ///
    /// # Errors
    /// Hands the request back where the room was forgotten meanwhile: open it again.
    pub fn attach(&self, room: &Arc<Room>, attach: Attach) -> Result<Attached, Box<Attach>> {
        let now = self.0.clock.now();
        let attached = room.attach(self, attach, now)?;
        self.unsettle(room.id());
        Ok(attached)
    }

    /// Makes someone present who entered a room and has no stream yet.
    pub fn enter(&self, id: RoomId, user: UserId, name: &Arc<str>) {
        loop {
            let room = self.open(id);
            if room.with_presence(|presence| presence.enter(user, name, self.0.clock.now())).is_some() {
                break;
            }
        }
        self.unsettle(id);
    }

    /// Makes someone absent at once, who gave up their membership or lost it.
    pub fn leave(&self, id: RoomId, user: UserId) {
        if let Some(room) = self.get(id) {
            room.with_presence(|presence| presence.leave(user));
            self.unsettle(id);
        }
    }

    /// Notes that somebody is gone who had this stream open, though it has not ended yet. They are absent at once,
    /// unless another stream of theirs is open.
    pub fn leave_by(&self, room: &Room, user: UserId, stream: StreamId) {
        room.with_presence(|presence| presence.close(user, stream, true));
        self.unsettle(room.id());
    }

    /// Returns who is present in a room.
    pub fn people(&self, id: RoomId) -> Vec<(UserId, Person)> {
        self.get(id).and_then(|room| room.with_presence(|presence| presence.people())).unwrap_or_default()
    }

    /// Has a room's presence looked at again.
    pub(crate) fn unsettle(&self, id: RoomId) {
        if self.0.unsettled.lock().insert(id) {
            self.0.settle.notify_one();
        }
    }

    /// Tells changes of presence, collected for 250 ms, until it is dropped. Runs once, on the core runtime.
    pub async fn run_presence(&self) {
        loop {
            if self.0.unsettled.lock().is_empty() {
                self.0.settle.notified().await;
            }
            tokio::time::sleep(PRESENCE_INTERVAL).await;
            let due = std::mem::take(&mut *self.0.unsettled.lock());
            let now = Instant::now();
            for id in due {
                let Some(room) = self.get(id) else { continue };
                if room.settle(now) {
                    self.0.unsettled.lock().insert(id);
                } else {
                    self.forget_if_idle(id);
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
                    for room in shard.take() {
                        room.wake(index, shard.now(), &mut wakers);
                    }
                }
                _ = seconds.tick() => {
                    let second = shard.tick();
                    let now = self.0.clock.now();
                    if index == 0 {
                        self.0.lingering.lock().retain(|room| room.has_slots());
                    }
                    for room in self.served() {
                        self.tick(&room, index, second, now, &mut wakers);
                        // Its only caller may have gone between opening it and entering it.
                        if index == 0 && second.is_multiple_of(IDLE_CHECK_SECONDS) {
                            self.forget_if_idle(room.id());
                        }
                    }
                }
            }
        }
    }

    fn tick(
        &self,
        room: &Arc<Room>,
        index: usize,
        second: u32,
        now: Timestamp,
        wakers: &mut Vec<std::task::Waker>,
    ) {
        for (user, stream) in room.tick(index, second, now, wakers) {
            room.with_presence(|presence| presence.close(user, stream, false));
            self.unsettle(room.id());
        }
    }

    /// Adds what is open and kept at this moment to the figures.
    pub fn tell(&self, levels: &mut Levels) {
        levels.rooms = self.0.rooms.lock().len();
        levels.hub_bytes = self.0.memory.load(Ordering::Relaxed);
        for room in self.served() {
            let [subscriptions, chats, parked] = room.streams_open();
            levels.subscriptions += subscriptions;
            levels.chats += chats;
            levels.parked += parked;
        }
    }

    /// Makes room where more than HUB_MEMORY is kept: the least active rooms give first, each down to what a
    /// listener may expect, and then further if that is not enough.
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

//! A room in memory.
//!
//! Locks are taken in this order: state, part, presence; a part's and the presence's are held together by a stream alone that
//! asks who is present (`Cursor::poll`). The state's lock makes telling a message, opening a
//! stream and telling a change of presence one after the other, so that a stream that opens misses nothing and
//! gets nothing twice.

mod era;
mod seam;
mod streams;
mod telling;

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::time::Instant;
use uuid::Uuid;

pub use era::Era;
pub(super) use era::Eras;
use seam::Joined;
pub use seam::{Fork, is_another};
pub use streams::{Attach, Attached, Place, Start};

use super::{
    Change, Chunk, Event, Feed, Framing, Person,
    presence::Presence,
    shard::{Part, Shard, give_back},
    sync::Mutex,
};
use crate::model::{Error, RoomId, StreamId, UserId};

/// A room that has a stream, or in which somebody is present.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    framing: Framing,
    shards: Arc<[Shard]>,
    memory: Arc<AtomicUsize>,
    eras: Eras,
    /// To which era belongs what is framed now.
    era: Mutex<Era>,
    /// In the log of which database server what was told was found, and its streams were checked.
    server: AtomicU64,
    /// In the log of which one it was found, whether its streams were checked there or not.
    found_in: AtomicU64,
    /// Guards the order in which things are told.
    state: Mutex<State>,
    presence: Mutex<Presence>,
    /// Each shard's part.
    parts: Box<[Mutex<Part>]>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the hub has forgotten this room: what comes now belongs to another.
    closed: bool,
    /// seq of the message to be told next, once it is known.
    next_seq: Option<i64>,
    last_message_id: Option<Uuid>,
    /// How many streams read each feed: nothing is framed for nobody.
    subscribers: usize,
    chatters: usize,
    /// Messages that wait until a gap before them is filled, as many as are kept.
    held: Vec<Joined>,
    /// Messages of which the room is not told yet, and that somebody has who came back: they must be in what is told.
    ahead: Vec<(i64, Uuid)>,
    filling: bool,
    last_active: Option<Instant>,
}

/// A gap in what was told, to be filled from the log; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first message that is missing.
    pub first: i64,
    /// The last.
    pub last: i64,
}

/// The head of the log, as it was read when a room was opened.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// seq of the newest message.
    pub last_seq: i64,
    /// Its id.
    pub last_message_id: Option<Uuid>,
    /// Which database server was asked; see [`Room::server`].
    pub server: u64,
}

impl Room {
    pub(super) fn new(
        id: RoomId,
        framing: Framing,
        shards: Arc<[Shard]>,
        memory: Arc<AtomicUsize>,
        eras: Eras,
    ) -> Self {
        let parts = shards.iter().map(|_| Mutex::default()).collect();
        let era = Mutex::new(eras.begin());
        Self {
            id,
            framing,
            shards,
            memory,
            eras,
            era,
            server: AtomicU64::default(),
            found_in: AtomicU64::default(),
            state: Mutex::default(),
            presence: Mutex::default(),
            parts,
        }
    }

    /// Returns the room's id.
    pub fn id(&self) -> RoomId {
        self.id
    }

    /// Says where the log is now, unless a message has told it already. The head must have been read after the
    /// room was opened in the hub: what is committed later is told to it.
    ///
    /// # Errors
    /// Where another message was told at that place.
    pub fn seed(&self, seed: Seed) -> Result<(), Fork> {
        let mut state = self.state.lock();
        match state.next_seq {
            None => {
                state.next_seq = Some(seed.last_seq + 1);
                state.last_message_id = seed.last_message_id;
                self.server.store(seed.server, Ordering::Relaxed);
            }
            Some(next)
                if next == seed.last_seq + 1 && is_another(state.last_message_id, seed.last_message_id) =>
            {
                return Err(Fork);
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Returns the number of the database server in whose log what was told was found. Another one may have lost it.
    pub fn server(&self) -> u64 {
        self.server.load(Ordering::Relaxed)
    }

    /// Notes that what was told was found in the log of this server, and that its streams were checked there.
    pub fn found_at(&self, server: u64) {
        self.server.store(server, Ordering::Relaxed);
    }

    /// Says whether what was told was found in the log of this server.
    pub fn is_found_in(&self, server: u64) -> bool {
        [&self.server, &self.found_in].iter().any(|found| found.load(Ordering::Relaxed) == server)
    }

    /// Notes that what was told was found in the log of this server.
    pub fn found_in(&self, server: u64) {
        self.found_in.store(server, Ordering::Relaxed);
    }

    /// Returns the newest message that was told, or is known to be the newest.
    pub fn head(&self) -> Option<(i64, Option<Uuid>)> {
        let state = self.state.lock();
        state.next_seq.map(|next| (next - 1, state.last_message_id))
    }

    /// Says whether a stream is open.
    pub fn has_streams(&self) -> bool {
        let state = self.state.lock();
        state.subscribers + state.chatters > 0
    }

    /// Says whether a stream has not ended yet, be it set aside or refused.
    pub(in crate::hub) fn has_slots(&self) -> bool {
        self.parts.iter().any(|part| !part.lock().slots.is_empty())
    }

    /// Returns how many subscriptions and chats are open and served, and how many streams are set aside.
    pub(in crate::hub) fn streams_open(&self) -> [usize; 3] {
        let state = self.state.lock();
        let parked = self.parts.iter().map(|part| part.lock().parked()).sum();
        [state.subscribers, state.chatters, parked]
    }

    /// Tells every subscription an event.
    pub fn tell_event(self: &Arc<Self>, event: &Event) {
        let state = self.state.lock();
        self.push_event(&state, event, None);
    }

    fn push_event(self: &Arc<Self>, state: &State, event: &Event, except: Option<StreamId>) {
        if let Some(next_seq) = state.next_seq
            && state.subscribers > 0
        {
            self.push(Feed::Subscribe, &[Chunk::event(event, next_seq, except, self.framing)]);
        }
    }

    fn push(self: &Arc<Self>, feed: Feed, chunks: &[Chunk]) {
        for (part, shard) in self.parts.iter().zip(self.shards.iter()) {
            let must_tell = part.lock().push(feed, chunks, &self.memory, self.parts.len());
            if must_tell {
                shard.tell(Arc::clone(self));
            }
        }
    }

    pub(super) fn part(&self, shard: usize) -> &Mutex<Part> {
        &self.parts[shard]
    }

    pub(super) fn second(&self, shard: usize) -> u32 {
        self.shards[shard].now()
    }

    /// Returns how things become bytes.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Acts on the presence; `None` where the hub has forgotten this room.
    pub(super) fn with_presence<T>(&self, act: impl FnOnce(&mut Presence) -> T) -> Option<T> {
        let state = self.state.lock();
        if state.closed { None } else { Some(act(&mut self.presence.lock())) }
    }

    /// Tells what changed in who is present. Says whether it must be asked again.
    pub(super) fn settle(self: &Arc<Self>, now: Instant) -> bool {
        let state = self.state.lock();
        let mut presence = self.presence.lock();
        let change = presence.settle(now);
        let again = presence.is_settling();
        drop(presence);
        self.tell_change(&state, change);
        again
    }

    /// The same before a stream opens, unless that many are here that they are counted and not named.
    fn settle_for_newcomer(self: &Arc<Self>, state: &State) {
        let mut presence = self.presence.lock();
        let change = if presence.is_named() { presence.settle(Instant::now()) } else { None };
        drop(presence);
        self.tell_change(state, change);
    }

    fn tell_change(self: &Arc<Self>, state: &State, change: Option<(Change, Option<StreamId>)>) {
        if let Some((change, newcomer)) = change {
            self.push_event(state, &Event::PresenceChange(change), newcomer);
        }
    }

    /// Returns who is present as it was told last, and the number of that telling.
    pub(super) fn people(&self, user: UserId, own: &Person) -> (Vec<Person>, usize, u64) {
        let told = self.presence.lock().told();
        let (people, count) = told.told_to(user, own);
        (people, count, told.version())
    }

    pub(super) fn close_if_idle(&self) -> bool {
        let mut state = self.state.lock();
        state.closed = state.subscribers + state.chatters == 0 && self.presence.lock().is_empty();
        state.closed
    }

    /// Lets nobody in any more, ends the streams, and gives the memory back: in this order, so that no stream reads on in a
    /// log that is not what it was told.
    pub(super) fn close(&self, error: &Error) {
        self.state.lock().closed = true;
        self.end_all(error);
        let freed: usize = self.parts.iter().map(|part| part.lock().forget()).sum();
        give_back(&self.memory, freed / self.parts.len());
    }

    pub(super) fn last_active(&self) -> Option<Instant> {
        self.state.lock().last_active
    }

    /// Drops the oldest chunks while `keep` messages stay.
    pub(super) fn trim(&self, keep: usize) {
        for part in &self.parts {
            part.lock().trim(keep, &self.memory, self.parts.len());
        }
    }

    /// Returns the era to which belongs what is framed now: see [`Self::drop_chunks`].
    pub fn era(&self) -> Era {
        *self.era.lock()
    }

    /// Begins a new era, for when what was framed or read before is no longer right: drops every chunk, so that cursors
    /// read the log instead, and what waits to be told, which the poll finds again.
    pub fn drop_chunks(&self) {
        *self.era.lock() = self.eras.begin();
        self.state.lock().held.clear();
        let freed: usize = self.parts.iter().map(|part| part.lock().forget()).sum();
        give_back(&self.memory, freed / self.parts.len());
    }

    /// Returns how many bytes of chunks are kept, for tests and figures.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }
}

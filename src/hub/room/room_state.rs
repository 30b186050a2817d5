//! A room in memory, and its locks.
//!
//! Locks are taken in this order: state, part, presence. A part's lock and the presence's are held together only by a
//! stream that asks who is present ([`Cursor::poll`](crate::hub::Cursor::poll)). The state's lock serialises publishing
//! messages, publishing presence changes and opening streams, so a stream that opens misses nothing and gets nothing twice.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    cache_generation::{CacheGeneration, CacheGenerations},
    continuity::{Fork, LinkedMessage, ids_differ},
};
use crate::{
    hub::{
        chunk::Chunk,
        event::{Event, Framing, StreamKind},
        part::{Part, release_memory},
        presence::{Change, Person, Presence},
        shard::Shard,
        sync::Mutex,
    },
    model::{Error, RoomId, Seq, StreamId, UserId},
};

/// A room with an open stream, or in which somebody is present.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    pub(super) framing: Framing,
    pub(super) shards: Arc<[Shard<Weak<Room>>]>,
    pub(super) memory: Arc<AtomicUsize>,
    generations: CacheGenerations,
    /// The generation of what is framed now.
    generation: Mutex<CacheGeneration>,
    /// The database server whose log holds what clients may have, and on which the streams' rights were checked.
    verified_server: AtomicU64,
    /// The newest server that is known to hold what clients may have. The streams' rights may not be checked there yet.
    log_verified_server: AtomicU64,
    /// Guards the order of publishing.
    pub(super) state: Mutex<State>,
    pub(super) presence: Mutex<Presence>,
    /// One for each shard.
    pub(super) parts: Box<[Mutex<Part>]>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Whether the hub has dropped this room. Another one may be open under its id.
    pub(super) closed: bool,
    /// seq of the message to be published next. None until the log's head is known.
    pub(super) next_seq: Option<Seq>,
    /// Id of the message that was published last.
    pub(super) last_message_id: Option<Uuid>,
    /// How many streams of each kind are served. Nothing is framed for a kind without one.
    pub(super) subscriptions: usize,
    pub(super) chats: usize,
    /// Messages that wait for a gap before them to be filled, by rising seq.
    pub(super) pending: Vec<LinkedMessage>,
    /// Messages after which clients have resumed and that the room has not published yet. What it publishes there must be
    /// these messages.
    pub(super) resumed: Vec<(Seq, Uuid)>,
    /// Whether a gap was handed out to be filled.
    pub(super) is_filling: bool,
    pub(super) last_active: Option<Instant>,
}

impl State {
    /// Returns the count of the streams of a kind.
    pub(super) fn count_mut(&mut self, kind: StreamKind) -> &mut usize {
        match kind {
            StreamKind::Subscribe => &mut self.subscriptions,
            StreamKind::Chat => &mut self.chats,
        }
    }
}

/// Messages that the room has missed, to be read from the log. Both ends belong to the gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first message that is missing.
    pub first: Seq,
    /// The last.
    pub last: Seq,
}

/// The head of the log, as it was read when a stream was to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// seq of the newest message.
    pub last_seq: Seq,
    /// Its id.
    pub last_message_id: Option<Uuid>,
    /// The database server that it was read from: see [`Room::verified_server`].
    pub server: u64,
}

/// How many streams a room has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct StreamCounts {
    /// Subscriptions that are served.
    pub(in crate::hub) subscriptions: usize,
    /// Chats that are served.
    pub(in crate::hub) chats: usize,
    /// Streams of both kinds that are parked.
    pub(in crate::hub) parked: usize,
}

impl Room {
    pub(in crate::hub) fn new(
        id: RoomId,
        framing: Framing,
        shards: Arc<[Shard<Weak<Room>>]>,
        memory: Arc<AtomicUsize>,
        generations: CacheGenerations,
    ) -> Self {
        let parts = shards.iter().map(|_| Mutex::default()).collect();
        let generation = Mutex::new(generations.begin());
        Self {
            id,
            framing,
            shards,
            memory,
            generations,
            generation,
            verified_server: AtomicU64::default(),
            log_verified_server: AtomicU64::default(),
            state: Mutex::default(),
            presence: Mutex::default(),
            parts,
        }
    }

    /// Returns the room's id.
    pub fn id(&self) -> RoomId {
        self.id
    }

    /// Sets the head of the log, unless it is already known. It must have been read after the room was opened in the hub,
    /// which is published to from then on.
    ///
    /// # Errors
    /// [`Fork`] if another message was published at the head's seq.
    pub fn seed(&self, seed: Seed) -> Result<(), Fork> {
        let mut state = self.state.lock();
        match state.next_seq {
            None => {
                state.next_seq = Some(seed.last_seq.next());
                state.last_message_id = seed.last_message_id;
                self.verified_server.store(seed.server, Ordering::Relaxed);
            }
            Some(next)
                if next == seed.last_seq.next()
                    && ids_differ(state.last_message_id, seed.last_message_id) =>
            {
                return Err(Fork);
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Returns the number of the database server whose log was found to hold what clients may have, and on which the streams'
    /// rights were checked. Another server may have lost either.
    pub fn verified_server(&self) -> u64 {
        self.verified_server.load(Ordering::Relaxed)
    }

    /// Notes that this server's log holds what clients may have, and that the streams' rights were checked there.
    pub fn set_verified_server(&self, server: u64) {
        self.verified_server.store(server, Ordering::Relaxed);
    }

    /// Says whether this server's log was found to hold what clients may have.
    pub fn is_log_verified_on(&self, server: u64) -> bool {
        let verified = [&self.verified_server, &self.log_verified_server];
        verified.iter().any(|verified| verified.load(Ordering::Relaxed) == server)
    }

    /// Notes that this server's log holds what clients may have.
    pub fn set_log_verified_on(&self, server: u64) {
        self.log_verified_server.store(server, Ordering::Relaxed);
    }

    /// Returns the seq and the id of the message that was published last, or of the log's head as it was seeded.
    pub fn head(&self) -> Option<(Seq, Option<Uuid>)> {
        let state = self.state.lock();
        state.next_seq.map(|next| (next.previous(), state.last_message_id))
    }

    /// Returns the seq and the id of the newest message that a client may have: the one of [`Self::head`], or a later one after
    /// which a client has resumed.
    pub fn newest_known(&self) -> Option<(Seq, Option<Uuid>)> {
        let state = self.state.lock();
        let next = state.next_seq?;
        // Those that the room has published since are not kept.
        let resumed = state.resumed.iter().max_by_key(|(seq, _)| *seq).map(|&(seq, id)| (seq, Some(id)));
        Some(resumed.unwrap_or((next.previous(), state.last_message_id)))
    }

    /// Says whether a stream is open and not parked.
    pub fn has_streams(&self) -> bool {
        let state = self.state.lock();
        state.subscriptions + state.chats > 0
    }

    /// Says whether a stream has not been dropped yet, be it parked or refused.
    pub(in crate::hub) fn has_slots(&self) -> bool {
        self.parts.iter().any(|part| !part.lock().slots.is_empty())
    }

    pub(in crate::hub) fn stream_counts(&self) -> StreamCounts {
        let state = self.state.lock();
        let parked = self.parts.iter().map(|part| part.lock().parked()).sum();
        StreamCounts { subscriptions: state.subscriptions, chats: state.chats, parked }
    }

    /// Publishes an event to every subscription.
    pub fn publish_event(self: &Arc<Self>, event: &Event) {
        let state = self.state.lock();
        self.push_event(&state, event, None);
    }

    fn push_event(self: &Arc<Self>, state: &State, event: &Event, except: Option<StreamId>) {
        if let Some(next_seq) = state.next_seq
            && state.subscriptions > 0
        {
            self.push(StreamKind::Subscribe, &[Chunk::event(event, next_seq, except, self.framing)]);
        }
    }

    pub(super) fn push(self: &Arc<Self>, kind: StreamKind, chunks: &[Chunk]) {
        for (part, shard) in self.parts.iter().zip(self.shards.iter()) {
            let must_notify = part.lock().push(kind, chunks, &self.memory, self.parts.len());
            if must_notify {
                shard.notify(Arc::downgrade(self));
            }
        }
    }

    pub(in crate::hub) fn part(&self, shard: usize) -> &Mutex<Part> {
        &self.parts[shard]
    }

    pub(in crate::hub) fn second(&self, shard: usize) -> u32 {
        self.shards[shard].second()
    }

    /// Returns how messages and events become bytes.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Acts on the presence. None if the hub has dropped this room.
    pub(in crate::hub) fn with_presence<T>(&self, act: impl FnOnce(&mut Presence) -> T) -> Option<T> {
        let state = self.state.lock();
        if state.closed { None } else { Some(act(&mut self.presence.lock())) }
    }

    /// Publishes the presence change, if there is one. Says whether the presence must be flushed again.
    pub(in crate::hub) fn flush_presence(self: &Arc<Self>, now: Instant) -> bool {
        let state = self.state.lock();
        let mut presence = self.presence.lock();
        let change = presence.flush(now);
        let again = presence.needs_flush();
        drop(presence);
        self.push_change(&state, change);
        again
    }

    /// Publishes the presence change before a stream opens, so that its list has all of it. Skipped if there are too
    /// many people to be named.
    pub(super) fn flush_presence_before_open(self: &Arc<Self>, state: &State) {
        let mut presence = self.presence.lock();
        let change = if presence.is_named() { presence.flush(Instant::now()) } else { None };
        drop(presence);
        self.push_change(state, change);
    }

    fn push_change(self: &Arc<Self>, state: &State, change: Option<(Change, Option<StreamId>)>) {
        if let Some((change, newcomer)) = change {
            self.push_event(state, &Event::PresenceChange(change), newcomer);
        }
    }

    /// Returns the published list of people as `user` gets it, how many there are in all, and the list's version. None if
    /// that is the version that the stream has.
    pub(in crate::hub) fn people_since(
        &self,
        version: u64,
        user: UserId,
        own: &Person,
    ) -> Option<(Vec<Person>, usize, u64)> {
        let view = self.presence.lock().published();
        if view.version() == version {
            return None;
        }
        let (people, count) = view.listed_to(user, own);
        Some((people, count, view.version()))
    }

    /// Closes the room if no stream is served and nobody is present. Says whether it did.
    pub(in crate::hub) fn close_if_idle(&self) -> bool {
        let mut state = self.state.lock();
        state.closed = state.subscriptions + state.chats == 0 && self.presence.lock().is_empty();
        state.closed
    }

    /// Refuses new streams, ends the open ones, and frees the chunks. In this order, so that no stream goes on to read a log
    /// that is not the published one.
    pub(in crate::hub) fn close(&self, error: &Error) {
        self.state.lock().closed = true;
        self.end_all(error);
        self.free_chunks();
    }

    pub(in crate::hub) fn last_active(&self) -> Option<Instant> {
        self.state.lock().last_active
    }

    /// Drops the oldest chunks while at least `keep` messages stay.
    pub(in crate::hub) fn trim(&self, keep: usize) {
        for part in &self.parts {
            part.lock().trim(keep, &self.memory, self.parts.len());
        }
    }

    /// Returns the generation of what is framed now: see [`Self::invalidate_frames`].
    pub fn cache_generation(&self) -> CacheGeneration {
        *self.generation.lock()
    }

    /// Begins a new cache generation, because what was framed or read before is no longer right. Drops every chunk, so that
    /// cursors read the log instead, and the messages that wait behind a gap, which the poll finds again.
    pub fn invalidate_frames(&self) {
        *self.generation.lock() = self.generations.begin();
        self.state.lock().pending.clear();
        self.free_chunks();
    }

    fn free_chunks(&self) {
        let freed: usize = self.parts.iter().map(|part| part.lock().drop_chunks()).sum();
        release_memory(&self.memory, freed / self.parts.len());
    }

    /// Returns how many bytes of chunks the hub keeps.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }
}

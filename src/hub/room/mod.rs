//! A room in memory.
//!
//! Locks are taken in this order: state, presence, part. The state's lock makes telling a message, opening a
//! stream and telling a change of presence one after the other, so that a stream that opens misses nothing and
//! gets nothing twice.

mod era;
mod streams;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::time::Instant;
use uuid::Uuid;

pub use era::Era;
pub(super) use era::Eras;
pub use streams::{Attach, Attached, Place, Start};

use super::{
    Change, Chunk, Event, Feed, Framing, Person,
    presence::Presence,
    shard::{Part, Shard, give_back},
    sync::Mutex,
};
use crate::{
    faults::{self, Fault},
    model::{Line, RoomId, StreamId, UserId},
};

/// Lines that wait until a gap before them is filled take so many bytes at most. What comes beyond is not kept: the
/// poll finds that it is missing.
const HELD_BYTES: usize = 256 * 1024;

/// What a line takes beside its body.
const LINE_BYTES: usize = 256;

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
    /// Lines that wait until a gap before them is filled, up to [`HELD_BYTES`].
    held: Vec<Line>,
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
    pub fn seed(&self, seed: Seed) {
        let mut state = self.state.lock();
        if state.next_seq.is_none() {
            state.next_seq = Some(seed.last_seq + 1);
            state.last_message_id = seed.last_message_id;
        }
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

    /// Tells new lines, by rising seq, in order and each once. Where lines before them are missing, they wait, and
    /// the gap is returned once: fill it, or call [`Self::give_up_filling`].
    pub fn publish(self: &Arc<Self>, lines: Vec<Line>) -> Option<Gap> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        state.held.extend(lines);
        self.tell_held(&mut state)
    }

    /// Notes that the log has a message of this seq, and returns the gap up to it, once.
    pub fn observe(&self, last_seq: i64) -> Option<Gap> {
        let mut state = self.state.lock();
        let next = state.next_seq?;
        if last_seq < next || state.filling || state.closed || faults::is(Fault::TailForgotten) {
            return None;
        }
        state.filling = true;
        Some(Gap { first: next, last: last_seq })
    }

    /// Tells lines that were read from the log to fill a gap, and returns the next gap, if there is another.
    pub fn fill(self: &Arc<Self>, lines: Vec<Line>) -> Option<Gap> {
        let mut state = self.state.lock();
        state.filling = false;
        if state.closed {
            return None;
        }
        state.held.extend(lines);
        self.tell_held(&mut state)
    }

    /// Notes that a gap could not be filled now: the poll will find it again.
    pub fn give_up_filling(&self) {
        self.state.lock().filling = false;
    }

    fn tell_held(self: &Arc<Self>, state: &mut State) -> Option<Gap> {
        state.held.sort_by_key(|line| line.message.seq);
        let first = state.held.first()?.message.seq;
        let mut next = *state.next_seq.get_or_insert(first);
        let held = std::mem::take(&mut state.held);
        let mut fresh = Vec::with_capacity(held.len());
        for line in held {
            match line.message.seq {
                seq if seq < next => {}
                seq if seq == next || faults::is(Fault::GapFillSkipped) => {
                    next = seq + 1;
                    fresh.push(line);
                }
                _ => state.held.push(line),
            }
        }
        if let [first, second, ..] = &mut fresh[..]
            && faults::is_nth(Fault::TwoSwapped, 5)
        {
            std::mem::swap(first, second);
            std::mem::swap(&mut first.message.seq, &mut second.message.seq);
        }
        self.tell(state, &fresh);
        state.bound_held();
        let after = state.held.first()?.message.seq;
        if std::mem::replace(&mut state.filling, true) {
            return None;
        }
        Some(Gap { first: next, last: after - 1 })
    }

    fn tell(self: &Arc<Self>, state: &mut State, lines: &[Line]) {
        let Some(last) = lines.last() else { return };
        state.next_seq = Some(last.message.seq + 1);
        state.last_message_id = Some(last.message.message_id);
        state.last_active = Some(Instant::now());
        if state.subscribers > 0 {
            self.push(Feed::Subscribe, &Chunk::cut(lines, Feed::Subscribe, self.framing));
        }
        if state.chatters > 0 {
            self.push(Feed::Chat, &Chunk::cut(lines, Feed::Chat, self.framing));
        }
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

    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
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

impl State {
    /// Keeps the first of the lines that wait, as many as may be; at least one, so that the gap before it is known.
    fn bound_held(&mut self) {
        let mut bytes = 0;
        let fit = self.held.iter().take_while(|line| {
            bytes += line.message.body.len() + LINE_BYTES;
            bytes <= HELD_BYTES
        });
        let fit = fit.count().max(1);
        self.held.truncate(fit);
    }
}

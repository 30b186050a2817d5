//! The streams of a room: opening, waking and ending them, and what they are sent alone.

use std::{sync::Arc, task::Waker};

use bytes::Bytes;
use uuid::Uuid;

use super::room_state::Room;
use crate::{
    faults::{self, Fault},
    hub::{
        chunk::frame_event,
        connection::Connection,
        direct::{DirectFrames, DirectQueue},
        event::{Event, StreamKind},
        heartbeat::Heartbeat,
        own_messages::OwnMessages,
        permit::Permit,
        presence::{Departure, Person},
        slot::{End, Slot, SlotState},
    },
    model::{ChatIdentity, Epochs, Error, Seq, StreamId, Timestamp, UserId},
};

/// Where a stream starts.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// With the next message that is published.
    Now,
    /// After this message, which is in the log.
    After(Seq),
    /// With this many of the newest messages.
    Last(usize),
}

impl Start {
    /// Returns the first message to be sent, where the room publishes `next_seq` next and the log begins with `first_seq`.
    fn first_to_send(self, next_seq: Seq, first_seq: Seq) -> Seq {
        match self {
            Self::Now => next_seq,
            // The message is in the log, even if this room has not published it yet.
            Self::After(seq) => mutant_start(seq, next_seq).unwrap_or(seq.next()),
            Self::Last(count) => next_seq.back(count).max(first_seq).min(next_seq),
        }
    }
}

/// Returns the wrong start of the mutants that break resuming.
fn mutant_start(seq: Seq, next_seq: Seq) -> Option<Seq> {
    if faults::is(Fault::CatchUpSkipped) {
        Some(next_seq)
    } else if faults::is(Fault::ResumeSkipsOne) {
        Some(seq.next().next().min(next_seq))
    } else if faults::is(Fault::ResumeRepeatsOne) {
        Some(seq.max(Seq::FIRST).min(next_seq))
    } else {
        None
    }
}

/// A request to open a stream.
#[derive(Debug)]
pub struct Attach {
    /// The kind of stream.
    pub kind: StreamKind,
    /// Seconds of silence after which a heartbeat is sent. None: never.
    pub heartbeat: Option<u32>,
    /// The shard that serves it.
    pub shard: usize,
    /// Its id.
    pub stream: StreamId,
    /// Its user.
    pub identity: Arc<ChatIdentity>,
    /// The epochs at which the identity was found valid.
    pub epochs: Epochs,
    /// Where it starts.
    pub start: Start,
    /// Id of the message after which it resumes. None if its client has none.
    pub resume_id: Option<Uuid>,
    /// seq of the oldest message in the log.
    pub first_seq: Seq,
    /// The user's permit for it.
    pub permit: Permit,
    /// The connection that carries it.
    pub connection: Arc<Connection>,
}

/// A stream that was opened, as its cursor needs it.
#[derive(Debug)]
pub(in crate::hub) struct Opened {
    pub(in crate::hub) key: SlotKey,
    pub(in crate::hub) kind: StreamKind,
    pub(in crate::hub) user: UserId,
    pub(in crate::hub) person: Person,
    /// seq of the first message to be sent.
    pub(in crate::hub) start: Seq,
    /// seq of the newest message.
    pub(in crate::hub) last_seq: Seq,
    /// Who is present, and how many people that is in all.
    pub(in crate::hub) people: (Vec<Person>, usize),
    /// Version of that list.
    pub(in crate::hub) presence_version: u64,
}

/// The key of a stream's slot in its room. Once the stream has been dropped it leads nowhere.
#[derive(Clone, Copy, Debug)]
pub struct SlotKey {
    pub(in crate::hub) shard: usize,
    /// Index in the shard's part. Another stream may take it over, which has another id.
    pub(in crate::hub) index: usize,
    pub(in crate::hub) stream: StreamId,
}

impl SlotKey {
    /// Returns the stream's id.
    pub fn stream(self) -> StreamId {
        self.stream
    }
}

impl Room {
    /// Opens a stream. Hands the request back if the room is closed, or its head is not known.
    pub(in crate::hub) fn attach(
        self: &Arc<Self>,
        attach: Attach,
        now: Timestamp,
    ) -> Result<Opened, Box<Attach>> {
        let mut state = self.state.lock();
        let Some(next_seq) = state.next_seq.filter(|_| !state.closed) else {
            return Err(Box::new(attach));
        };
        let (kind, user, name) = (attach.kind, attach.identity.user, attach.identity.user_name.shared());
        // The stream's first list has everybody who came before it, and none of them is published to it as a change later.
        self.flush_presence_before_open(&state);
        let mut presence = self.presence.lock();
        let person = presence.open(user, &name, attach.stream, now);
        let (view, count) = (presence.published(), presence.count());
        drop(presence);
        *state.count_mut(kind) += 1;
        if let (Start::After(seq), Some(id)) = (attach.start, attach.resume_id) {
            state.note_resumed(seq, id);
        }
        let start = attach.start.first_to_send(next_seq, attach.first_seq);
        let key = self.add_slot(attach, next_seq);
        drop(state);
        Ok(Opened {
            key,
            kind,
            user,
            start,
            last_seq: next_seq.previous(),
            people: (view.listed_to(user, &person).0, count),
            person,
            presence_version: view.version(),
        })
    }

    fn add_slot(&self, attach: Attach, next_seq: Seq) -> SlotKey {
        let second = self.second(attach.shard);
        let mut part = self.parts[attach.shard].lock();
        let tail = part.tail_mut(attach.kind);
        if tail.streams == 0 {
            tail.clear(next_seq);
        }
        tail.streams += 1;
        attach.connection.stream_opened();
        let index = part.slots.insert(Slot {
            kind: attach.kind,
            stream: attach.stream,
            identity: attach.identity,
            epochs: attach.epochs,
            connection: attach.connection,
            direct: DirectQueue::default(),
            own: OwnMessages::default(),
            heartbeat: Heartbeat::new(attach.heartbeat, second),
            state: SlotState::opened(attach.permit, second),
        });
        SlotKey { shard: attach.shard, index, stream: attach.stream }
    }

    /// Removes a stream. The tick that parks a stream removes it from everything but its slot.
    pub(in crate::hub) fn detach(&self, key: SlotKey, kind: StreamKind, user: UserId, departure: Departure) {
        let mut state = self.state.lock();
        let mut part = self.parts[key.shard].lock();
        let slot = part.slots.remove(key.index);
        if slot.is_parked() {
            slot.connection.parked_stream_ended();
            return;
        }
        slot.connection.stream_ended();
        part.remove_reader(kind, &self.memory, self.parts.len());
        *state.count_mut(kind) -= 1;
        drop(part);
        self.presence.lock().close(user, key.stream, departure);
    }

    /// Wakes the idle streams of a shard. Called on the shard's own thread.
    pub(in crate::hub) fn wake(&self, shard: usize, second: u32, wakers: &mut Vec<Waker>) {
        self.parts[shard].lock().take_wakers(second, wakers);
        for waker in wakers.drain(..) {
            waker.wake();
        }
    }

    /// Does what is due once a second, and returns the users whose streams were parked.
    pub(in crate::hub) fn tick(
        &self,
        shard: usize,
        second: u32,
        now: Timestamp,
        wakers: &mut Vec<Waker>,
    ) -> Vec<(UserId, StreamId)> {
        let parked = self.parts[shard].lock().tick(second, now, wakers);
        for waker in wakers.drain(..) {
            waker.wake();
        }
        if parked.is_empty() {
            return Vec::new();
        }
        // The part's lock was released in between, since the state's is taken before it.
        let mut state = self.state.lock();
        let mut part = self.parts[shard].lock();
        for (_, _, kind) in &parked {
            part.remove_reader(*kind, &self.memory, self.parts.len());
            *state.count_mut(*kind) -= 1;
        }
        parked.into_iter().map(|(user, stream, _)| (user, stream)).collect()
    }

    /// Returns the streams that are not parked, and their users.
    pub fn streams(&self) -> Vec<(SlotKey, Arc<ChatIdentity>)> {
        self.filter_streams(|_| true)
    }

    /// Returns a user's streams.
    pub fn streams_of(&self, user: UserId) -> Vec<(SlotKey, Arc<ChatIdentity>)> {
        self.filter_streams(|slot| slot.identity.user == user)
    }

    /// Returns the streams whose rights were not checked at these epochs.
    pub fn unchecked_streams(&self, epochs: Epochs) -> Vec<(SlotKey, Arc<ChatIdentity>)> {
        self.filter_streams(|slot| slot.epochs != epochs)
    }

    /// Notes that these streams' rights were found valid at `epochs`.
    pub fn set_checked(&self, keys: &[SlotKey], epochs: Epochs) {
        for key in keys {
            self.with_slot(*key, |slot| slot.epochs = epochs);
        }
    }

    /// Ends a stream with a refusal.
    pub fn end(&self, key: SlotKey, error: Error) {
        self.update_and_wake(key, |slot| slot.end(End::Refused(error)));
    }

    /// Ends a stream with OK, once everything up to `seq` has been sent on it.
    pub fn end_after(&self, key: SlotKey, seq: Seq) {
        self.update_and_wake(key, |slot| slot.end(End::After(seq)));
    }

    /// Ends every stream with the same refusal.
    pub fn end_all(&self, error: &Error) {
        for (key, _) in self.streams() {
            self.end(key, error.clone());
        }
    }

    /// Sends each subscription an event that depends on its stream.
    pub fn send_to_subscriptions(&self, event: impl Fn(StreamId) -> Event) {
        for (key, _) in self.filter_streams(|slot| slot.kind == StreamKind::Subscribe) {
            self.send(key, frame_event(&event(key.stream), self.framing));
        }
    }

    /// Sends frames to one stream alone.
    pub fn send(&self, key: SlotKey, frames: Bytes) {
        self.push_direct(key, DirectFrames { frames, copy_of: None, answers: None });
    }

    /// Counts a message that a stream has sent as unanswered, until its frame is put into the stream. Returns false if
    /// `limit` are unanswered already.
    pub fn await_answer(&self, key: SlotKey, message: Uuid, limit: usize) -> bool {
        self.with_slot(key, |slot| slot.own.await_answer(message, limit)).unwrap_or_default()
    }

    /// Stops waiting for the answer to a message that a stream has sent.
    pub fn withdraw(&self, key: SlotKey, message: Uuid) {
        self.with_slot(key, |slot| slot.own.answered(message));
    }

    /// Keeps a message that a stream has sent from that stream.
    pub fn suppress_echo(&self, key: SlotKey, message: Uuid) {
        self.update_and_wake(key, |slot| slot.suppress_echo(message));
    }

    /// Answers a message that a stream has sent with frames that are not the log's.
    pub fn answer(&self, key: SlotKey, message: Uuid, frames: Bytes) {
        self.push_direct(key, DirectFrames { frames, copy_of: None, answers: Some(message) });
    }

    /// Answers a message that was already stored, as `stored` at `seq`, with a copy of it. If the stream has not reached
    /// that seq, it gets the message from the log instead.
    pub fn answer_duplicate(&self, key: SlotKey, message: Uuid, (seq, stored): (Seq, Uuid), frames: Bytes) {
        self.update_and_wake(key, |slot| {
            slot.own.is_stored_as(message, stored);
            slot.push_direct(DirectFrames { frames, copy_of: Some(seq), answers: Some(stored) });
        });
    }

    /// Says whether a stream is open and not refused.
    pub fn is_live(&self, key: SlotKey) -> bool {
        self.with_slot(key, |slot| !slot.is_refused()).unwrap_or_default()
    }

    fn push_direct(&self, key: SlotKey, frames: DirectFrames) {
        self.update_and_wake(key, |slot| slot.push_direct(frames));
    }

    /// Changes a stream's slot and wakes its task.
    fn update_and_wake(&self, key: SlotKey, update: impl FnOnce(&mut Slot)) {
        let second = self.second(key.shard);
        let waker = self.with_slot(key, |slot| {
            update(slot);
            slot.take_waker(second)
        });
        if let Some(Some(waker)) = waker {
            waker.wake();
        }
    }

    pub(in crate::hub) fn with_slot<T>(&self, key: SlotKey, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let mut part = self.parts[key.shard].lock();
        part.slots.get_mut(key.index).filter(|slot| slot.stream == key.stream).map(act)
    }

    fn filter_streams(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<(SlotKey, Arc<ChatIdentity>)> {
        let mut streams = Vec::new();
        for (shard, part) in self.parts.iter().enumerate() {
            let part = part.lock();
            let found = part.slots.iter().filter(|(_, slot)| !slot.is_parked() && wanted(slot));
            streams.extend(found.map(|(index, slot)| {
                (SlotKey { shard, index, stream: slot.stream }, Arc::clone(&slot.identity))
            }));
        }
        streams
    }
}

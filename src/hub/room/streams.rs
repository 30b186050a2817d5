//! The streams of a room: opened, woken, ended.

use std::{sync::Arc, task::Waker};

use bytes::Bytes;
use uuid::Uuid;

use super::Room;
use crate::{
    faults::{self, Fault},
    hub::{
        Connection, Cursor, Event, Feed, Hub, Permit, Person,
        aside::{Alone, Aside},
        frame_event,
        own::Own,
        shard::{End, Slot},
    },
    model::{ChatIdentity, Epochs, Error, StreamId, Timestamp, UserId},
};

/// Where a stream begins.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// With what is said from now on.
    Now,
    /// After this message, which is in the log.
    After(i64),
    /// With so many of the newest messages.
    Last(i64),
}

/// A stream that wants to be opened.
#[derive(Debug)]
pub struct Attach {
    /// What it reads.
    pub feed: Feed,
    /// After how many silent seconds it is sent a heartbeat; none: never.
    pub heartbeat: Option<u32>,
    /// The shard that serves it.
    pub shard: usize,
    /// Its name.
    pub stream: StreamId,
    /// Whose it is.
    pub identity: Arc<ChatIdentity>,
    /// The epochs at which the identity was found to stand.
    pub checked: Epochs,
    /// Where it begins.
    pub start: Start,
    /// Id of the message after which it begins; none where its client has none.
    pub has: Option<Uuid>,
    /// seq of the oldest message that is kept.
    pub first_seq: i64,
    /// The user's permit for it.
    pub permit: Permit,
    /// The connection that carries it.
    pub connection: Arc<Connection>,
}

/// A stream that was opened.
#[derive(Debug)]
pub struct Attached {
    /// Its place in the log.
    pub cursor: Cursor,
    /// seq of the newest message when it was opened.
    pub last_seq: i64,
    /// Who is present, and how many they are.
    pub people: (Vec<Person>, usize),
}

/// Where a stream stands in its room.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub(in crate::hub) shard: usize,
    pub(in crate::hub) key: usize,
    pub(in crate::hub) stream: StreamId,
}

impl Place {
    /// Returns the stream's name.
    pub fn stream(self) -> StreamId {
        self.stream
    }
}

impl Room {
    pub(in crate::hub) fn attach(
        self: &Arc<Self>,
        hub: &Hub,
        attach: Attach,
        now: Timestamp,
    ) -> Result<Attached, Box<Attach>> {
        let mut state = self.state.lock();
        let Some(next_seq) = state.next_seq.filter(|_| !state.closed) else {
            return Err(Box::new(attach));
        };
        let user = attach.identity.user;
        let name = attach.identity.user_name.shared();
        // Who came before is told before: the first list is the present, and none of it is told as a change after it.
        self.settle_for_newcomer(&state);
        let mut presence = self.presence.lock();
        let person = presence.open(user, &name, attach.stream, now);
        let (told, count) = (presence.told(), presence.count());
        drop(presence);
        match attach.feed {
            Feed::Subscribe => state.subscribers += 1,
            Feed::Chat => state.chatters += 1,
        }
        let start = match attach.start {
            Start::Now => next_seq,
            Start::After(_) if faults::is(Fault::CatchUpSkipped) => next_seq,
            Start::After(seq) if faults::is(Fault::ResumeSkipsOne) => (seq + 2).min(next_seq),
            Start::After(seq) if faults::is(Fault::ResumeRepeatsOne) => seq.max(1).min(next_seq),
            // It is in the log, even where this room has not been told of it yet.
            Start::After(seq) => seq + 1,
            Start::Last(count) => (next_seq - count).max(attach.first_seq).min(next_seq),
        };
        if let (Start::After(seq), Some(id)) = (attach.start, attach.has) {
            state.come_back_with(seq, id);
        }
        let second = self.shards[attach.shard].now();
        let mut part = self.parts[attach.shard].lock();
        let tail = part.tail_mut(attach.feed);
        if tail.streams == 0 {
            tail.clear(next_seq);
        }
        tail.streams += 1;
        attach.connection.open();
        let key = part.slots.insert(Slot {
            feed: attach.feed,
            stream: attach.stream,
            identity: attach.identity,
            checked: attach.checked,
            connection: attach.connection,
            permit: Some(attach.permit),
            waker: None,
            aside: Aside::default(),
            own: Own::default(),
            end: None,
            heartbeat: attach.heartbeat,
            is_heartbeat_due: false,
            waiting: Some(second),
            last_sent: second,
            parked: None,
        });
        drop(part);
        drop(state);
        let people = (told.told_to(user, &person).0, count);
        let place = Place { shard: attach.shard, key, stream: attach.stream };
        let cursor = Cursor::new(
            hub.clone(),
            Arc::clone(self),
            place,
            attach.feed,
            start,
            (user, person, told.version()),
        );
        Ok(Attached { cursor, last_seq: next_seq - 1, people })
    }

    pub(in crate::hub) fn detach(&self, place: Place, feed: Feed, user: UserId, at_once: bool) {
        let mut state = self.state.lock();
        let mut part = self.parts[place.shard].lock();
        let slot = part.slots.remove(place.key);
        slot.connection.close(slot.parked.is_some());
        if slot.parked.is_none() {
            part.stop_reading(feed, &self.memory, self.parts.len());
            match feed {
                Feed::Subscribe => state.subscribers -= 1,
                Feed::Chat => state.chatters -= 1,
            }
            drop(part);
            self.presence.lock().close(user, place.stream, at_once);
        }
    }

    /// Wakes the streams of a shard that have news. Called on the shard's own thread.
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
        let mut state = self.state.lock();
        let mut part = self.parts[shard].lock();
        for (_, _, feed) in &parked {
            part.stop_reading(*feed, &self.memory, self.parts.len());
            match feed {
                Feed::Subscribe => state.subscribers -= 1,
                Feed::Chat => state.chatters -= 1,
            }
        }
        parked.into_iter().map(|(user, stream, _)| (user, stream)).collect()
    }

    /// Returns the streams that are open, and whose they are.
    pub fn streams(&self) -> Vec<(Place, Arc<ChatIdentity>)> {
        self.places(|_| true)
    }

    /// Returns the streams that are a user's.
    pub fn streams_of(&self, user: UserId) -> Vec<(Place, Arc<ChatIdentity>)> {
        self.places(|slot| slot.identity.user == user)
    }

    /// Returns the streams whose right was checked at other epochs than these.
    pub fn to_be_checked(&self, epochs: Epochs) -> Vec<(Place, Arc<ChatIdentity>)> {
        self.places(|slot| slot.checked != epochs)
    }

    /// Notes that these streams were found to stand at `epochs`.
    pub fn checked(&self, places: &[Place], epochs: Epochs) {
        for place in places {
            self.with_slot(*place, |slot| slot.checked = epochs);
        }
    }

    /// Ends a stream with a refusal.
    pub fn end(&self, place: Place, error: Error) {
        self.finish(place, End::Refused(error));
    }

    /// Ends a stream with OK, once everything up to `seq` has been sent on it.
    pub fn end_after(&self, place: Place, seq: i64) {
        self.finish(place, End::After(seq));
    }

    fn finish(&self, place: Place, end: End) {
        self.tell_slot(place, |slot| {
            if !slot.is_refused() {
                slot.end = Some(end);
            }
        });
    }

    /// Ends every stream with the same refusal.
    pub fn end_all(&self, error: &Error) {
        for (place, _) in self.streams() {
            self.end(place, error.clone());
        }
    }

    /// Sends each subscription an event of its own.
    pub fn tell_each(&self, event: impl Fn(StreamId) -> Event) {
        for (place, _) in self.places(|slot| slot.feed == Feed::Subscribe) {
            self.send(place, frame_event(&event(place.stream), self.framing));
        }
    }

    /// Sends frames to one stream alone.
    pub fn send(&self, place: Place, frames: Bytes) {
        self.tell_slot(place, |slot| slot.put_aside(Alone { frames, repeats: None, answers: None }));
    }

    /// Has a message of a stream's own answered by the frame that tells it. Says no where `most` are unanswered already.
    pub fn await_answer(&self, place: Place, message: Uuid, most: usize) -> bool {
        self.with_slot(place, |slot| slot.own.await_answer(message, most)).unwrap_or_default()
    }

    /// Gives up that a message of a stream's own is answered.
    pub fn withdraw(&self, place: Place, message: Uuid) {
        self.with_slot(place, |slot| slot.own.answered(message));
    }

    /// Keeps a message of a stream's own from it.
    pub fn leave_out(&self, place: Place, message: Uuid) {
        self.tell_slot(place, |slot| slot.leave_out(message));
    }

    /// Answers a message of a stream's own by frames that are not the log's.
    pub fn answer(&self, place: Place, message: Uuid, frames: Bytes) {
        let alone = Alone { frames, repeats: None, answers: Some(message) };
        self.tell_slot(place, |slot| slot.put_aside(alone));
    }

    /// Answers a message that had been stored before, as `stored` at `seq`: by sending that again, unless the log is about
    /// to tell it.
    pub fn repeat(&self, place: Place, message: Uuid, (seq, stored): (i64, Uuid), frames: Bytes) {
        self.tell_slot(place, |slot| {
            slot.own.is_stored_as(message, stored);
            slot.put_aside(Alone { frames, repeats: Some(seq), answers: Some(stored) });
        });
    }

    /// Says whether a stream goes on: it is open, and nothing has refused it.
    pub fn goes_on(&self, place: Place) -> bool {
        self.with_slot(place, |slot| !slot.is_refused()).unwrap_or_default()
    }

    /// Changes what is said to one stream, and has it polled.
    fn tell_slot(&self, place: Place, act: impl FnOnce(&mut Slot)) {
        let second = self.second(place.shard);
        let waker = self.with_slot(place, |slot| {
            act(slot);
            slot.wake(second)
        });
        if let Some(Some(waker)) = waker {
            waker.wake();
        }
    }

    pub(in crate::hub) fn with_slot<T>(&self, place: Place, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let mut part = self.parts[place.shard].lock();
        part.slots.get_mut(place.key).filter(|slot| slot.stream == place.stream).map(act)
    }

    fn places(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<(Place, Arc<ChatIdentity>)> {
        let mut places = Vec::new();
        for (shard, part) in self.parts.iter().enumerate() {
            let part = part.lock();
            places.extend(
                part.slots.iter().filter(|(_, slot)| slot.parked.is_none() && wanted(slot)).map(
                    |(key, slot)| (Place { shard, key, stream: slot.stream }, Arc::clone(&slot.identity)),
                ),
            );
        }
        places
    }
}

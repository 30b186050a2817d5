//! A stream's position in its room's log.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::Instant;

use super::{
    chunk::{Chunk, frame_event},
    event::{Event, StreamKind},
    own_messages::OwnMessages,
    part::Part,
    presence::{Departure, Person},
    presence_queue::PresenceQueue,
    room::{Attach, Opened, Room, SlotKey},
    tail::Tail,
};
use crate::{
    faults::{self, Fault},
    metrics::{DELIVERIES, DELIVERY_SECONDS},
    model::{Error, Seq, Timestamp, UserId},
};

/// Frames are put together up to this size, since large DATA frames cost less than many small ones.
const COALESCED_BYTES: usize = 32 * 1024;

/// What a stream does next.
#[derive(Debug)]
pub enum Step {
    /// Sends these frames.
    Send(Bytes),
    /// Polls again: it has reached `until`.
    Again,
    /// Reads the log from this seq on, sends what it read, and calls [`Cursor::advance`].
    Read(Seq),
    /// Ends, with OK or with a refusal.
    End(Result<(), Error>),
}

/// A stream's position in its room's log, and its slot on its shard. Dropping it detaches the stream.
#[derive(Debug)]
pub struct Cursor {
    presence_queue: PresenceQueue,
    room: Arc<Room>,
    key: SlotKey,
    kind: StreamKind,
    user: UserId,
    person: Person,
    /// seq of the message to be sent next.
    next_seq: Seq,
    /// The chunk that holds it. None until it is looked for.
    ordinal: Option<u64>,
    /// Version of the last presence list that was sent. Chat streams do not use it.
    presence_version: u64,
    /// When the stream was opened. Messages that were framed before do not count as delivered late.
    opened: Instant,
    /// How the user departs when the stream ends.
    departure: Departure,
}

/// A stream that was opened, and what its client gets first.
#[derive(Debug)]
pub struct Attached {
    /// Its position in the log.
    pub cursor: Cursor,
    /// seq of the newest message when it was opened.
    pub last_seq: Seq,
    /// Who is present, and how many people that is in all.
    pub people: (Vec<Person>, usize),
}

impl Cursor {
    /// Opens a stream in a room. When it ends, the room is added to the queue.
    pub(super) fn attach(
        room: &Arc<Room>,
        attach: Attach,
        now: Timestamp,
        presence_queue: PresenceQueue,
    ) -> Result<Attached, Box<Attach>> {
        let Opened { key, kind, user, person, start, last_seq, people, presence_version } =
            room.attach(attach, now)?;
        let cursor = Self {
            presence_queue,
            room: Arc::clone(room),
            key,
            kind,
            user,
            person,
            next_seq: start,
            ordinal: None,
            presence_version,
            opened: Instant::now(),
            departure: Departure::AfterGrace,
        };
        Ok(Attached { cursor, last_seq, people })
    }

    /// Returns the room.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Returns the key of the stream's slot in its room.
    pub fn key(&self) -> SlotKey {
        self.key
    }

    /// Returns the kind of stream.
    pub fn kind(&self) -> StreamKind {
        self.kind
    }

    /// Returns the seq of the message to be sent next.
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Notes that every message before `next_seq` was read from the log and sent.
    pub fn advance(&mut self, next_seq: Seq) {
        DELIVERIES.add(next_seq.since(self.next_seq).unsigned_abs());
        self.next_seq = next_seq;
        self.ordinal = None;
    }

    /// Moves the stream's start back to `seq`, if that is earlier.
    pub fn rewind(&mut self, seq: Seq) {
        self.next_seq = self.next_seq.min(seq);
        self.ordinal = None;
    }

    /// Makes the user absent as soon as this stream ends, without the grace period.
    pub fn leave_at_end(&mut self) {
        self.departure = Departure::Immediate;
    }

    /// Returns the frames of a page of the log from the stream's next message on, and records that they are sent.
    pub fn take_frames(&mut self, page: &Chunk) -> Bytes {
        let frames = self.room.with_slot(self.key, |slot| {
            let frames = page.frames_from(self.next_seq, self.key.stream, &slot.own);
            slot.own.pass(page.ids_from(self.next_seq));
            frames
        });
        frames.unwrap_or_default()
    }

    /// Returns the next step, or has the task woken once there is one. With `until`, only messages before that one are
    /// sent.
    pub fn poll(&mut self, context: &mut Context<'_>, until: Option<Seq>) -> Poll<Step> {
        let room = Arc::clone(&self.room);
        let second = room.second(self.key.shard);
        let mut part = room.part(self.key.shard).lock();
        let step = self.next_step(&mut part, second, until).map_or(Poll::Pending, Poll::Ready);
        part.slots[self.key.index].polled(&step, context.waker(), second);
        step
    }

    fn next_step(&mut self, part: &mut Part, second: u32, until: Option<Seq>) -> Option<Step> {
        let slot = &mut part.slots[self.key.index];
        if let Some(refusal @ Err(_)) = slot.ended(self.next_seq) {
            return Some(Step::End(refusal));
        }
        if let Some(frames) = slot.pop_direct(self.next_seq) {
            slot.heartbeat.sent_direct(second);
            return Some(Step::Send(frames));
        }
        if let Some(end) = slot.ended(self.next_seq) {
            return Some(Step::End(end));
        }
        if let Some(step) = self.locate(part.tail(self.kind)) {
            return Some(step);
        }
        let (tail, slot) = part.tail_and_slot(self.kind, self.key.index);
        if let Some(frames) = self.collect(tail, &mut slot.own, until) {
            slot.heartbeat.sent(second);
            return Some(Step::Send(frames));
        }
        // The stream may have gone past its last message without frames, since that was its own.
        if let Some(end) = slot.ended(self.next_seq) {
            return Some(Step::End(end));
        }
        if slot.heartbeat.take(second) {
            let heartbeat = Event::Heartbeat(self.kind, self.next_seq.previous());
            return Some(Step::Send(frame_event(&heartbeat, self.room.framing())));
        }
        until.is_some_and(|until| self.next_seq >= until).then_some(Step::Again)
    }

    /// Finds the chunk of the next message. Returns a step if it is no longer kept, or if the stream may have missed events.
    fn locate(&mut self, tail: &Tail) -> Option<Step> {
        if self.ordinal.is_some_and(|ordinal| !tail.is_dropped(ordinal)) {
            return None;
        }
        self.ordinal = tail.locate(self.next_seq);
        if self.ordinal.is_none() {
            return Some(Step::Read(self.next_seq));
        }
        if self.kind == StreamKind::Chat {
            return None;
        }
        // Presence changes among the chunks that it did not read are lost, so the whole list is sent if it has changed.
        let (people, count, version) =
            self.room.people_since(self.presence_version, self.user, &self.person)?;
        self.presence_version = version;
        Some(Step::Send(frame_event(&Event::Presence(people, count), self.room.framing())))
    }

    /// Takes the frames that are kept from the next message on: those of one chunk as they are, those of several copied
    /// together.
    fn collect(&mut self, tail: &Tail, own: &mut OwnMessages, until: Option<Seq>) -> Option<Bytes> {
        let (mut ordinal, start) = (self.ordinal?, self.next_seq);
        let mut first = Bytes::new();
        let mut together = BytesMut::new();
        while let Some(chunk) = tail.get(ordinal)
            && until.is_none_or(|until| self.next_seq < until)
        {
            let frames = mutant_frames(chunk.frames_from(self.next_seq, self.key.stream, own));
            let length = first.len().max(together.len());
            if length > 0 && length + frames.len() > COALESCED_BYTES {
                break;
            }
            own.pass(chunk.ids_from(self.next_seq));
            if first.is_empty() && together.is_empty() {
                first = frames;
            } else if !frames.is_empty() {
                if together.is_empty() {
                    together.put_slice(&first);
                }
                together.put_slice(&frames);
            }
            if chunk.messages() > 0 && chunk.framed() >= self.opened {
                DELIVERY_SECONDS.observe_duration(chunk.framed().elapsed());
            }
            // A stream may have resumed after a message that its room has published only now.
            self.next_seq = self.next_seq.max(chunk.next_seq());
            ordinal += 1;
        }
        self.ordinal = Some(ordinal);
        if self.next_seq > start {
            DELIVERIES.add(self.next_seq.since(start).unsigned_abs());
        }
        let frames = if together.is_empty() { first } else { together.freeze() };
        (!frames.is_empty()).then_some(frames)
    }
}

/// Drops or doubles frames where a mutant does.
fn mutant_frames(mut frames: Bytes) -> Bytes {
    if faults::is_nth(Fault::DeliveryDropped, 500) {
        frames.clear();
    }
    if faults::is_nth(Fault::DeliveredTwice, 500) {
        frames = [&frames[..], &frames[..]].concat().into();
    }
    frames
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.room.detach(self.key, self.kind, self.user, self.departure);
        self.presence_queue.add(self.room.id());
    }
}

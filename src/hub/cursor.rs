//! A stream's place in its room's log.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::Instant;

use super::{
    Chunk, Event, Feed, Hub, Person, Room, frame_event,
    own::Own,
    room::Place,
    shard::{End, Tail},
};
use crate::{
    faults::{self, Fault},
    metrics::{DELIVERIES, DELIVERY_SECONDS},
    model::{Error, UserId},
};

/// Frames are put together up to this size: large DATA frames cost less than many small ones.
const COALESCED_BYTES: usize = 32 * 1024;

/// What a stream does next.
#[derive(Debug)]
pub enum Step {
    /// Sends these frames.
    Send(Bytes),
    /// Asks again: it went past `until`.
    Again,
    /// Reads the log from this seq on, sends it, and says so with [`Cursor::advance`].
    Read(i64),
    /// Ends, with OK or with a refusal.
    End(Result<(), Error>),
}

/// A stream's place in its room's log, and its seat in its shard. Dropping it leaves both.
#[derive(Debug)]
pub struct Cursor {
    hub: Hub,
    room: Arc<Room>,
    place: Place,
    feed: Feed,
    user: UserId,
    person: Person,
    /// seq of the message to be sent next.
    next_seq: i64,
    /// The chunk that holds it; none while the cursor is behind what is kept.
    ordinal: Option<u64>,
    /// The telling of presence that the stream has; none on a feed without it.
    presence: u64,
    /// When the stream was opened. What was said before does not count as delivered late.
    opened: Instant,
    /// Whether the end of this stream is known to be a leaving.
    leaves_at_once: bool,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hub")
    }
}

impl Cursor {
    pub(super) fn new(
        hub: Hub,
        room: Arc<Room>,
        place: Place,
        feed: Feed,
        next_seq: i64,
        (user, person, presence): (UserId, Person, u64),
    ) -> Self {
        Self {
            hub,
            room,
            place,
            feed,
            user,
            person,
            next_seq,
            ordinal: None,
            presence,
            opened: Instant::now(),
            leaves_at_once: false,
        }
    }

    /// Returns the room.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Returns where the stream stands in its room.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Returns what the stream reads.
    pub fn feed(&self) -> Feed {
        self.feed
    }

    /// Returns the seq of the message to be sent next.
    pub fn next_seq(&self) -> i64 {
        self.next_seq
    }

    /// Notes that the log was sent up to before `next_seq`.
    pub fn advance(&mut self, next_seq: i64) {
        DELIVERIES.add((next_seq - self.next_seq).unsigned_abs());
        self.next_seq = next_seq;
        self.ordinal = None;
    }

    /// Begins earlier than the stream was opened to begin: at `seq`, if that is before its place.
    pub fn rewind(&mut self, seq: i64) {
        self.next_seq = self.next_seq.min(seq);
        self.ordinal = None;
    }

    /// Has the end of this stream taken for a leaving, told at once.
    pub fn leave_at_end(&mut self) {
        self.leaves_at_once = true;
    }

    /// Returns the frames of a page of the log from the stream's place on, to be put into the stream.
    pub fn frames(&self, page: &Chunk) -> Bytes {
        let put = self.room.with_slot(self.place, |slot| {
            let frames = page.frames_from(self.next_seq, self.place.stream, &slot.own);
            slot.own.pass(page.ids_from(self.next_seq));
            frames
        });
        put.unwrap_or_default()
    }

    /// Says what to do next, or has the task woken when there is something. With `until`, nothing beyond the
    /// message before it is sent.
    pub fn poll(&mut self, context: &mut Context<'_>, until: Option<i64>) -> Poll<Step> {
        let second = self.room.second(self.place.shard);
        let room = Arc::clone(&self.room);
        let mut part = room.part(self.place.shard).lock();
        let Some(slot) = part.slots.get_mut(self.place.key) else { return Poll::Ready(Step::End(Ok(()))) };
        slot.waiting = Some(second);
        if let Some(End::Refused(error)) = &slot.end {
            return Poll::Ready(Step::End(Err(error.clone())));
        }
        if let Some(frames) = slot.take_aside(self.next_seq) {
            slot.last_sent = second;
            return Poll::Ready(Step::Send(frames));
        }
        if let Some(End::After(seq)) = slot.end
            && self.next_seq > seq
        {
            return Poll::Ready(Step::End(Ok(())));
        }
        if self.ordinal.is_none_or(|ordinal| part.tail(self.feed).is_gone(ordinal)) {
            self.ordinal = part.tail(self.feed).locate(self.next_seq);
            if self.ordinal.is_none() {
                return Poll::Ready(Step::Read(self.next_seq));
            }
            // Events among the chunks that were passed over are lost: all of it is told again, if it changed.
            if self.feed == Feed::Subscribe {
                let (people, count, version) = room.people(self.user, &self.person);
                if version != std::mem::replace(&mut self.presence, version) {
                    let frames = frame_event(&Event::Presence(people, count), room.framing());
                    return Poll::Ready(Step::Send(frames));
                }
            }
        }
        let (tail, slot) = part.tail_and_slot(self.feed, self.place.key);
        let frames = self.collect(tail, &mut slot.own, until);
        if let Some(frames) = frames {
            slot.last_sent = second;
            slot.is_heartbeat_due = false;
            return Poll::Ready(Step::Send(frames));
        }
        // The last message may just have been passed over: a stream's own are not echoed.
        if let Some(End::After(seq)) = slot.end
            && self.next_seq > seq
        {
            return Poll::Ready(Step::End(Ok(())));
        }
        if std::mem::take(&mut slot.is_heartbeat_due) {
            slot.last_sent = second;
            return Poll::Ready(Step::Send(frame_event(
                &Event::Heartbeat(self.feed, self.next_seq - 1),
                room.framing(),
            )));
        }
        if until.is_some_and(|until| self.next_seq >= until) {
            return Poll::Ready(Step::Again);
        }
        slot.waiting = None;
        match &mut slot.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes what is pending: one chunk as it is, several put together.
    fn collect(&mut self, tail: &Tail, own: &mut Own, until: Option<i64>) -> Option<Bytes> {
        let (mut ordinal, begun) = (self.ordinal?, self.next_seq);
        let mut first = Bytes::new();
        let mut together = BytesMut::new();
        while let Some(chunk) = tail.get(ordinal)
            && until.is_none_or(|until| self.next_seq < until)
        {
            let mut frames = chunk.frames_from(self.next_seq, self.place.stream, own);
            if faults::is_nth(Fault::DeliveryDropped, 500) {
                frames.clear();
            }
            if faults::is_nth(Fault::DeliveredTwice, 500) {
                frames = [&frames[..], &frames[..]].concat().into();
            }
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
            // A stream may have begun after a message that the room is told of only now.
            self.next_seq = self.next_seq.max(chunk.next_seq());
            ordinal += 1;
        }
        self.ordinal = Some(ordinal);
        if self.next_seq > begun {
            DELIVERIES.add((self.next_seq - begun).unsigned_abs());
        }
        let frames = if together.is_empty() { first } else { together.freeze() };
        (!frames.is_empty()).then_some(frames)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.room.detach(self.place, self.feed, self.user, self.leaves_at_once);
        self.hub.unsettle(self.room.id());
    }
}

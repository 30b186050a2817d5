//! One stream of a room, as its shard keeps it.

use std::{
    sync::Arc,
    task::{Poll, Waker},
};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    connection::Connection,
    direct::{DirectFrames, DirectQueue},
    event::StreamKind,
    heartbeat::Heartbeat,
    own_messages::OwnMessages,
    permit::Permit,
};
use crate::{
    metrics::STREAMS_PARKED,
    model::{ChatIdentity, Epochs, Error, Seq, StreamId, Timestamp},
};

/// A stream is parked if its task had to poll and did not for this many seconds. A connection on which all streams are parked
/// is closed after this many seconds more.
const PARK_SECONDS: u32 = 30;

/// Why a stream ends.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// With OK, once everything up to this seq has been sent.
    After(Seq),
    /// With a refusal, at once.
    Refused(Error),
}

/// One stream of a room.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) kind: StreamKind,
    pub(super) stream: StreamId,
    pub(super) identity: Arc<ChatIdentity>,
    /// The epochs at which the identity was last found valid.
    pub(super) epochs: Epochs,
    pub(super) connection: Arc<Connection>,
    pub(super) direct: DirectQueue,
    pub(super) own: OwnMessages,
    pub(super) heartbeat: Heartbeat,
    pub(super) state: SlotState,
}

/// Whether the shard serves a stream.
#[derive(Debug)]
pub(super) enum SlotState {
    /// It does.
    Active {
        polling: Polling,
        /// Set once the stream is to end.
        end: Option<End>,
        /// Counts the stream against its user's limit.
        _permit: Permit,
    },
    /// The client does not read. Its permit has been returned, and the next poll ends it with [`Error::StreamBehind`].
    Parked { since: u32 },
}

/// Whether a stream's task has to poll.
#[derive(Debug)]
pub(super) enum Polling {
    /// It has to since this second: it was woken, or its last poll returned a step.
    Due { since: u32 },
    /// Its last poll found nothing to do and left this waker.
    Idle(Waker),
}

/// What a slot needs at a second's tick.
pub(super) enum Tick {
    Nothing,
    Wake(Waker),
    /// It has just been parked.
    Parked,
}

impl SlotState {
    /// Returns the state of a stream that was opened at this second.
    pub(super) fn opened(permit: Permit, second: u32) -> Self {
        Self::Active { polling: Polling::Due { since: second }, end: None, _permit: permit }
    }
}

impl Slot {
    pub(super) fn is_parked(&self) -> bool {
        matches!(self.state, SlotState::Parked { .. })
    }

    /// Says whether the stream sends nothing more but its refusal.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.state, SlotState::Parked { .. } | SlotState::Active { end: Some(End::Refused(_)), .. })
    }

    /// Returns how the stream ends now, if it does, where `next_seq` is the message to send next.
    pub(super) fn ended(&self, next_seq: Seq) -> Option<Result<(), Error>> {
        match &self.state {
            SlotState::Parked { .. } => Some(Err(Error::StreamBehind)),
            SlotState::Active { end: Some(End::Refused(error)), .. } => Some(Err(error.clone())),
            SlotState::Active { end: Some(End::After(seq)), .. } if next_seq > *seq => Some(Ok(())),
            SlotState::Active { .. } => None,
        }
    }

    /// Has the stream end, unless it is already refused.
    pub(super) fn end(&mut self, new: End) {
        if let SlotState::Active { end, .. } = &mut self.state
            && !matches!(end, Some(End::Refused(_)))
        {
            *end = Some(new);
        }
    }

    /// Returns the waker of a stream that is idle: its task has to poll from now on.
    #[must_use]
    pub(super) fn take_waker(&mut self, second: u32) -> Option<Waker> {
        let SlotState::Active { polling: polling @ Polling::Idle(_), .. } = &mut self.state else {
            return None;
        };
        match std::mem::replace(polling, Polling::Due { since: second }) {
            Polling::Idle(waker) => Some(waker),
            Polling::Due { .. } => None,
        }
    }

    /// Notes what a poll by the stream's task returned.
    pub(super) fn polled<T>(&mut self, outcome: &Poll<T>, waker: &Waker, second: u32) {
        let SlotState::Active { polling, .. } = &mut self.state else { return };
        match (outcome, &mut *polling) {
            (Poll::Ready(_), _) => *polling = Polling::Due { since: second },
            (Poll::Pending, Polling::Idle(idle)) => idle.clone_from(waker),
            (Poll::Pending, Polling::Due { .. }) => *polling = Polling::Idle(waker.clone()),
        }
    }

    /// Queues frames for this stream alone. If too many wait, its client does not read: the stream ends.
    pub(super) fn push_direct(&mut self, frames: DirectFrames) {
        if self.is_refused() {
            return;
        }
        self.direct.push(frames);
        if self.direct.is_over_limit() {
            self.refuse_as_behind();
        }
    }

    /// Takes the next direct frames of a stream whose next message is `next_seq`. Copies of messages from that one on are
    /// dropped: the stream gets them, and so its answer, from the log.
    pub(super) fn pop_direct(&mut self, next_seq: Seq) -> Option<Bytes> {
        loop {
            let direct = self.direct.pop()?;
            if direct.copy_of.is_some_and(|seq| seq >= next_seq) {
                continue;
            }
            if let Some(message) = direct.answers {
                self.own.answered(message);
            }
            return Some(direct.frames);
        }
    }

    /// Keeps one of the stream's own messages from it. If too many wait, its client does not read: the stream ends.
    pub(super) fn suppress_echo(&mut self, message: Uuid) {
        if !self.own.suppress(message) {
            self.refuse_as_behind();
        }
    }

    fn refuse_as_behind(&mut self) {
        self.drop_queues();
        self.end(End::Refused(Error::StreamBehind));
    }

    fn drop_queues(&mut self) {
        self.direct = DirectQueue::default();
        self.own = OwnMessages::default();
    }

    /// Does what is due once a second.
    pub(super) fn tick(&mut self, second: u32, now: Timestamp) -> Tick {
        let end = match &self.state {
            SlotState::Parked { since } => {
                if second - since >= PARK_SECONDS {
                    self.connection.close_if_all_parked();
                }
                return Tick::Nothing;
            }
            SlotState::Active { polling: Polling::Due { since }, .. } if second - since >= PARK_SECONDS => {
                self.park(second);
                return Tick::Parked;
            }
            SlotState::Active { end, .. } => end,
        };
        if end.is_none() && self.identity.expires_at <= now {
            self.end(End::Refused(Error::TokenExpired));
        } else if end.is_none() && self.connection.is_retired() {
            self.end(End::Refused(Error::Draining));
        } else if !self.heartbeat.tick(second) {
            return Tick::Nothing;
        }
        self.take_waker(second).map_or(Tick::Nothing, Tick::Wake)
    }

    /// Drops what the stream holds and returns its permit.
    fn park(&mut self, second: u32) {
        STREAMS_PARKED.increment();
        self.drop_queues();
        self.connection.stream_parked();
        self.state = SlotState::Parked { since: second };
    }
}

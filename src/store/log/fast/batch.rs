//! A batch as the fast path gets it, and what it did with the batch.

use uuid::Uuid;

use crate::{
    faults::{self, Fault},
    model::{Epochs, LogSlice, RoomId, Seq, Timestamp},
    store::log::draft::{Deduplicate, Draft},
};

/// A batch as the fast path gets it.
pub(in crate::store::log) struct FastBatch<'d> {
    pub(in crate::store::log) drafts: &'d [Draft],
    pub(in crate::store::log) rooms: Vec<FastRoom>,
    pub(in crate::store::log) now: Timestamp,
}

/// The messages for one room.
pub(in crate::store::log) struct FastRoom {
    pub(in crate::store::log) id: RoomId,
    /// The epochs under which the authors' memberships were found valid.
    pub(in crate::store::log) epochs: Epochs,
    /// The newest seq that the lane has seen in the room.
    pub(in crate::store::log) last_seq: Seq,
    /// Indices of the drafts.
    pub(in crate::store::log) drafts: Vec<usize>,
}

/// The head of a room's log before a batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::log) struct Head {
    pub(in crate::store::log) last_seq: Seq,
    pub(in crate::store::log) last_message_id: Option<Uuid>,
}

/// What the fast path did with a batch.
pub(in crate::store::log) enum FastOutcome {
    /// It is committed. Of each room that was taken, the head before it.
    Committed(Vec<Option<Head>>),
    /// Nothing is stored.
    NotStored(Deduplicate),
    /// It may be committed. Of each room that may have been taken, the head before it.
    InDoubt(Vec<Option<Head>>),
}

impl FastRoom {
    /// Returns the sessions of the authors, each once.
    pub(super) fn sessions(&self, batch: &FastBatch<'_>) -> Vec<Uuid> {
        let mut sessions: Vec<Uuid> =
            self.drafts.iter().map(|&index| batch.drafts[index].identity.session.0).collect();
        sessions.sort_unstable();
        sessions.dedup();
        sessions
    }
}

impl FastBatch<'_> {
    /// Returns a room's messages after its head.
    pub(in crate::store::log) fn slice_of(&self, room: &FastRoom, head: Head) -> LogSlice {
        let messages = room
            .drafts
            .iter()
            .enumerate()
            .map(|(nth, &index)| self.drafts[index].message(head.last_seq.next().skip(nth), self.now));
        LogSlice { before: head.last_message_id, messages: messages.collect() }
    }

    /// Returns the body to store for the nth draft of a room.
    pub(super) fn body(&self, room: &FastRoom, nth: usize) -> &str {
        let nth = if faults::is_nth(Fault::BodyMixedUp, 50) { 0 } else { nth };
        self.drafts[room.drafts[nth]].body.as_str()
    }
}

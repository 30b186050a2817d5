//! A batch as the columns that the statement of the fast path on PostgreSQL takes: one array for each.

use uuid::Uuid;

use super::batch::FastBatch;
use crate::{
    faults::{self, Fault},
    model::Seq,
};

/// The new messages.
#[derive(Default)]
pub(super) struct DraftColumns<'b> {
    pub(super) room: Vec<i64>,
    pub(super) nth: Vec<i64>,
    pub(super) message_id: Vec<Uuid>,
    pub(super) user: Vec<i64>,
    pub(super) body: Vec<&'b str>,
    pub(super) client_message_id: Vec<Option<&'b str>>,
}

impl<'b> DraftColumns<'b> {
    pub(super) fn of(batch: &'b FastBatch<'_>) -> Self {
        let mut columns = Self::default();
        for room in &batch.rooms {
            for (nth, &index) in room.drafts.iter().enumerate() {
                if faults::is_nth(Fault::RowNotStored, 50) {
                    continue;
                }
                let draft = &batch.drafts[index];
                columns.room.push(room.id.0);
                columns.nth.push(Seq::FIRST.skip(nth).0);
                columns.message_id.push(draft.message_id);
                columns.user.push(draft.identity.user.0);
                columns.body.push(batch.body(room, nth));
                columns.client_message_id.push(draft.client_message_id.as_ref().map(|id| id.as_str()));
            }
        }
        columns
    }
}

/// The rooms, and how far their heads move.
#[derive(Default)]
pub(super) struct RoomColumns {
    pub(super) id: Vec<i64>,
    pub(super) epoch: Vec<i64>,
    pub(super) members_epoch: Vec<i64>,
    pub(super) messages: Vec<i64>,
    pub(super) newest: Vec<Option<Uuid>>,
}

impl RoomColumns {
    pub(super) fn of(batch: &FastBatch<'_>) -> Self {
        let mut columns = Self::default();
        for room in &batch.rooms {
            columns.id.push(room.id.0);
            columns.epoch.push(room.epochs.room);
            columns.members_epoch.push(room.epochs.members);
            columns.messages.push(Seq::ZERO.skip(room.drafts.len()).0);
            columns.newest.push(room.drafts.last().map(|&index| batch.drafts[index].message_id));
        }
        columns
    }
}

/// The sessions of each room's authors.
#[derive(Default)]
pub(super) struct AuthorColumns {
    pub(super) room: Vec<i64>,
    pub(super) session: Vec<Uuid>,
}

impl AuthorColumns {
    pub(super) fn of(batch: &FastBatch<'_>) -> Self {
        let mut columns = Self::default();
        for room in &batch.rooms {
            for session in room.sessions(batch) {
                columns.room.push(room.id.0);
                columns.session.push(session);
            }
        }
        columns
    }
}

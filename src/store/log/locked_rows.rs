//! Reads and locks the rooms and sessions of a batch.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait as _, DbBackend, FromQueryResult, Statement};
use uuid::Uuid;

use super::{
    draft::Draft,
    lane::{Lane, RowLock},
};
use crate::{
    faults::{self, Fault},
    model::{RoomId, SessionId},
    store::{DbResult, parameters::Parameters, transaction::Transaction},
};

/// The head of a room's log, its owner and its epochs.
#[derive(Debug, FromQueryResult)]
pub(super) struct RoomHead {
    pub(super) id: i64,
    pub(super) last_seq: i64,
    pub(super) last_message_id: Option<Uuid>,
    pub(super) owner_id: i64,
    pub(super) epoch: i64,
    pub(super) members_epoch: i64,
}

/// The rooms and sessions of a batch.
#[derive(Debug, Default)]
pub(super) struct LockedRows {
    pub(super) rooms: HashMap<RoomId, RoomHead>,
    /// The batch's sessions that are not alive, or are held by another transaction.
    missing: HashSet<SessionId>,
}

impl LockedRows {
    /// Says whether a session of the batch was found alive and locked.
    pub(super) fn is_locked_alive(&self, session: SessionId) -> bool {
        !self.missing.contains(&session)
    }
}

impl Lane {
    /// Reads the rooms and sessions of some drafts, each by rising id.
    ///
    /// One statement does it, which saves round trips. The rooms come first in it: if sessions were locked while it waits
    /// for a room, their users could not end them. A locking query returns the newest row, and not the one of the
    /// statement's snapshot. So a session is alive if the query returns it.
    pub(super) async fn read_rows(
        &self,
        transaction: &Transaction,
        drafts: impl Iterator<Item = &Draft>,
        lock: RowLock,
    ) -> DbResult<LockedRows> {
        let (mut rooms, mut sessions): (Vec<i64>, Vec<Uuid>) =
            drafts.map(|draft| (draft.identity.room.0, draft.identity.session.0)).unzip();
        rooms.sort_unstable();
        rooms.dedup();
        sessions.sort_unstable();
        sessions.dedup();
        let statement = self.rows_statement(rooms, sessions, lock);
        let mut rows = LockedRows::default();
        for row in transaction.query_all_raw(statement).await? {
            match row.try_get("", "missing")? {
                Some(session) => {
                    rows.missing.insert(SessionId(session));
                }
                None => {
                    let head = RoomHead::from_query_result(&row, "")?;
                    rows.rooms.insert(RoomId(head.id), head);
                }
            }
        }
        Ok(rows)
    }

    fn rows_statement(&self, rooms: Vec<i64>, sessions: Vec<Uuid>, lock: RowLock) -> Statement {
        let backend = self.store.backend();
        let mut parameters = Parameters::new(backend);
        let asked = parameters.rows(sessions);
        let rooms = parameters.is_in("id", rooms);
        let now = parameters.add(self.store.clock().now().as_micros());
        let (lock_rooms, lock_sessions) = match lock {
            RowLock::SkipLocked if backend == DbBackend::Postgres => {
                ("FOR UPDATE SKIP LOCKED", "FOR KEY SHARE SKIP LOCKED")
            }
            RowLock::Wait if backend == DbBackend::Postgres => ("FOR UPDATE", "FOR KEY SHARE"),
            _ => ("", ""),
        };
        let these = match lock_sessions {
            // Nothing is locked, so the final NOT EXISTS looks up just the few sessions that are asked for.
            "" => String::new(),
            lock => format!("AND id IN (SELECT id FROM asked) ORDER BY id {lock}"),
        };
        let mut sql = format!(
            "WITH asked (id) AS ({asked}), \
             found AS (SELECT id, last_seq, last_message_id, owner_id, epoch, members_epoch FROM rooms \
             WHERE {rooms} ORDER BY id {lock_rooms}), \
             living AS (SELECT id FROM sessions WHERE expires_at > {now} {these}) \
             SELECT id, last_seq, last_message_id, owner_id, epoch, members_epoch, NULL AS missing FROM found \
             UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, asked.id FROM asked \
             WHERE NOT EXISTS (SELECT 1 FROM living WHERE living.id = asked.id)"
        );
        if faults::is_first(Fault::GapAfterRestart) {
            sql = sql.replacen("last_seq", "last_seq + 1 AS last_seq", 1);
        }
        parameters.statement(sql)
    }
}

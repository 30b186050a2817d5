//! The statements of an append.

use std::collections::{HashMap, HashSet};

use grpcchatter_entity::message;
use sea_orm::{
    ActiveValue::Set, ConnectionTrait as _, DbBackend, EntityTrait as _, FromQueryResult, Statement, Value,
};
use uuid::Uuid;

use super::{Draft, Lane};
use crate::{
    faults::{self, Fault},
    model::{Message, Passage, RoomId, SessionId, Timestamp},
    store::{DbResult, many, transaction::Transaction},
};

/// A room's row.
#[derive(Debug, FromQueryResult)]
pub(super) struct RoomRow {
    pub(super) id: i64,
    pub(super) last_seq: i64,
    pub(super) last_message_id: Option<Uuid>,
    pub(super) owner_id: i64,
    pub(super) epoch: i64,
    pub(super) members_epoch: i64,
}

/// What a batch rests on.
#[derive(Debug, Default)]
pub(super) struct Ground {
    pub(super) rooms: HashMap<RoomId, RoomRow>,
    /// The sessions that do not live, or are held by another transaction.
    missing: HashSet<SessionId>,
}

impl Ground {
    /// Says whether a session, which was asked for, lives.
    pub(super) fn is_alive(&self, session: SessionId) -> bool {
        !self.missing.contains(&session)
    }
}

/// How rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// As they are at this moment.
    Plainly,
    /// Locked until the transaction ends; those that another one holds are left out.
    LockingFree,
    /// Locked until the transaction ends; those that another one holds are waited for (`lock_timeout`).
    LockingAll,
}

impl Lane {
    /// Reads the rooms and sessions of some drafts, each by rising id. SQLite locks all or nothing, when a transaction
    /// begins.
    ///
    /// It is one statement, for the sake of the way to the database and back. The rooms come first in it: sessions that are
    /// locked while a room is waited for would keep their users from ending them. What a locking query returns is what its
    /// locks found, and not what its snapshot did; and a session counts as living where that query returns it, which is to
    /// say, locks it.
    pub(super) async fn read(
        &self,
        transaction: &Transaction,
        drafts: impl Iterator<Item = &Draft>,
        how: Read,
    ) -> DbResult<Ground> {
        let backend = self.store.backend();
        let (mut rooms, mut sessions): (Vec<i64>, Vec<Uuid>) =
            drafts.map(|draft| (draft.identity.room.0, draft.identity.session.0)).unzip();
        rooms.sort_unstable();
        rooms.dedup();
        sessions.sort_unstable();
        sessions.dedup();
        let mut values: Vec<Value> = vec![self.store.clock().now().as_micros().into()];
        let rooms = many::among("id", backend, rooms, &mut values);
        let asked = many::rows(backend, sessions, &mut values);
        let (lock_rooms, lock_sessions) = match how {
            Read::LockingFree if backend == DbBackend::Postgres => {
                ("FOR UPDATE SKIP LOCKED", "FOR KEY SHARE SKIP LOCKED")
            }
            Read::LockingAll if backend == DbBackend::Postgres => ("FOR UPDATE", "FOR KEY SHARE"),
            _ => ("", ""),
        };
        let these = match lock_sessions {
            // The few that are asked about are looked up in all that live.
            "" => String::new(),
            lock => format!("AND id IN (SELECT id FROM asked) ORDER BY id {lock}"),
        };
        let mut sql = format!(
            "WITH asked (id) AS ({asked}), \
             found AS (SELECT id, last_seq, last_message_id, owner_id, epoch, members_epoch FROM rooms \
             WHERE {rooms} ORDER BY id {lock_rooms}), \
             living AS (SELECT id FROM sessions WHERE expires_at > $1 {these}) \
             SELECT id, last_seq, last_message_id, owner_id, epoch, members_epoch, NULL AS missing FROM found \
             UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, asked.id FROM asked \
             WHERE NOT EXISTS (SELECT 1 FROM living WHERE living.id = asked.id)"
        );
        if faults::is_first(Fault::GapAfterRestart) {
            sql = sql.replacen("last_seq", "last_seq + 1 AS last_seq", 1);
        }
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let mut ground = Ground::default();
        for row in transaction.query_all_raw(statement).await? {
            match row.try_get("", "missing")? {
                Some(session) => {
                    ground.missing.insert(SessionId(session));
                }
                None => {
                    let room = RoomRow::from_query_result(&row, "")?;
                    ground.rooms.insert(RoomId(room.id), room);
                }
            }
        }
        Ok(ground)
    }

    pub(super) async fn update_heads(
        &self,
        transaction: &Transaction,
        fresh: &HashMap<RoomId, Passage>,
        now: Timestamp,
    ) -> DbResult<()> {
        let mut seqs = String::new();
        let mut ids = String::new();
        let mut values: Vec<Value> = vec![now.as_micros().into()];
        for (room, passage) in fresh {
            let Some(message) = passage.messages.last() else { continue };
            let at = values.len() + 1;
            seqs.push_str(&format!(" WHEN ${at} THEN ${}", at + 1));
            ids.push_str(&format!(" WHEN ${at} THEN ${}", at + 2));
            values.extend([room.0.into(), message.seq.into(), message.message_id.into()]);
        }
        let rooms: Vec<String> = (0..fresh.len()).map(|nth| format!("${}", 2 + 3 * nth)).collect();
        let sql = format!(
            "UPDATE rooms SET active_at = $1, last_seq = CASE id{seqs} END, last_message_id = CASE id{ids} END \
             WHERE id IN ({})",
            rooms.join(", ")
        );
        transaction.execute_raw(Statement::from_sql_and_values(self.store.backend(), sql, values)).await?;
        Ok(())
    }
}

/// Inserts the messages at their places.
pub(super) async fn insert(transaction: &Transaction, fresh: &HashMap<RoomId, Passage>) -> DbResult<()> {
    let rows = fresh.iter().flat_map(|(room, Passage { messages, .. })| {
        let stored =
            messages.iter().filter(|_| messages.len() == 1 || !faults::is_nth(Fault::RowNotStored, 50));
        stored.map(|message| message::ActiveModel {
            room_id: Set(room.0),
            seq: Set(message.seq),
            message_id: Set(message.message_id),
            user_id: Set(message.author.0),
            body: Set(said(message, messages).to_owned()),
            created_at: Set(message.created_at.as_micros()),
            client_message_id: Set(message.client_message_id.as_ref().map(|id| id.as_str().to_owned())),
        })
    });
    message::Entity::insert_many(rows).exec_without_returning(transaction).await?;
    Ok(())
}

/// Returns what a message says.
fn said<'l>(message: &'l Message, messages: &'l [Message]) -> &'l str {
    if faults::is_nth(Fault::BodyMixedUp, 50) { &messages[0].body } else { &message.body }
}

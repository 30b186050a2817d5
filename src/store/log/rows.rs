//! The statements of an append.

use std::collections::HashMap;

use grpcchatter_entity::message;
use sea_orm::{
    ActiveValue::Set, ConnectionTrait as _, DatabaseTransaction, DbBackend, EntityTrait as _,
    FromQueryResult, Statement, Value,
};

use super::{Draft, Lane};
use crate::{
    faults::{self, Fault},
    model::{Line, RoomId, Timestamp},
    store::DbResult,
};

/// A locked room.
#[derive(Debug, FromQueryResult)]
pub(super) struct Locked {
    pub(super) id: i64,
    pub(super) last_seq: i64,
    pub(super) owner_id: i64,
    pub(super) epoch: i64,
    pub(super) members_epoch: i64,
}

impl Lane {
    /// Locks the rooms of the batch, by rising id. On PostgreSQL a room that another transaction holds is passed
    /// over, but by the spare lane, which waits for it (`lock_timeout`).
    pub(super) async fn lock(
        &self,
        transaction: &DatabaseTransaction,
        drafts: &[Draft],
        batch: &[usize],
    ) -> DbResult<HashMap<RoomId, Locked>> {
        let mut ids: Vec<i64> = batch.iter().map(|&place| drafts[place].identity.room.0).collect();
        ids.sort_unstable();
        ids.dedup();
        let places = placeholders(1, ids.len());
        let mut sql = format!(
            "SELECT id, last_seq, owner_id, epoch, members_epoch FROM rooms WHERE id IN ({places}) ORDER BY id"
        );
        if faults::is_first(Fault::GapAfterRestart) {
            sql = sql.replacen("last_seq", "last_seq + 1 AS last_seq", 1);
        }
        if self.store.backend() == DbBackend::Postgres {
            sql.push_str(if self.waits { " FOR UPDATE" } else { " FOR UPDATE SKIP LOCKED" });
        }
        let values: Vec<Value> = ids.into_iter().map(Value::from).collect();
        let statement = Statement::from_sql_and_values(self.store.backend(), sql, values);
        let rows = Locked::find_by_statement(statement).all(transaction).await?;
        Ok(rows.into_iter().map(|row| (RoomId(row.id), row)).collect())
    }

    pub(super) async fn update_heads(
        &self,
        transaction: &DatabaseTransaction,
        fresh: &HashMap<RoomId, Vec<Line>>,
        now: Timestamp,
    ) -> DbResult<()> {
        let mut seqs = String::new();
        let mut ids = String::new();
        let mut values: Vec<Value> = vec![now.as_micros().into()];
        for (room, lines) in fresh {
            let Some(line) = lines.last() else { continue };
            let at = values.len() + 1;
            seqs.push_str(&format!(" WHEN ${at} THEN ${}", at + 1));
            ids.push_str(&format!(" WHEN ${at} THEN ${}", at + 2));
            values.extend([room.0.into(), line.message.seq.into(), line.message.message_id.into()]);
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
pub(super) async fn insert(
    transaction: &DatabaseTransaction,
    fresh: &HashMap<RoomId, Vec<Line>>,
) -> DbResult<()> {
    let rows = fresh.iter().flat_map(|(room, lines)| {
        let stored = lines.iter().filter(|_| lines.len() == 1 || !faults::is_nth(Fault::RowNotStored, 50));
        stored.map(|line| message::ActiveModel {
            room_id: Set(room.0),
            seq: Set(line.message.seq),
            message_id: Set(line.message.message_id),
            user_id: Set(line.message.author.0),
            body: Set(said(line, lines).to_owned()),
            created_at: Set(line.message.created_at.as_micros()),
            client_message_id: Set(line.message.client_message_id.as_ref().map(|id| id.as_str().to_owned())),
        })
    });
    message::Entity::insert_many(rows).exec_without_returning(transaction).await?;
    Ok(())
}

/// Returns what a line says.
fn said<'l>(line: &'l Line, lines: &'l [Line]) -> &'l str {
    if faults::is_nth(Fault::BodyMixedUp, 50) { &lines[0].message.body } else { &line.message.body }
}

/// Returns `$first, …` for `count` values.
pub(super) fn placeholders(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|nth| format!("${nth}")).collect();
    names.join(", ")
}

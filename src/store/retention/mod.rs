//! Deletes the messages of deleted rooms, and old messages from the beginning of a room's log.

use grpcchatter_entity::{message, room};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Statement, sea_query::Expr,
};

use super::{DbResult, Store};
use crate::model::{Result, RoomId, Timestamp};

#[cfg(test)]
mod tests;

impl Store {
    /// Deletes the messages that were stored before a time, in transactions of at most `limit` messages. In each room it
    /// stops at the first message that is younger. Returns the number of deleted messages.
    ///
    /// # Errors
    /// If the database fails; what was deleted until then stays deleted.
    pub async fn expire_messages(&self, before: Timestamp, limit: u64) -> Result<u64> {
        let store = self.clone();
        self.on_core_without_timeout("delete old messages", async move {
            let mut deleted = 0;
            for room in store.rooms_older_than(before).await? {
                loop {
                    let count = store.expire_batch(room, before, limit).await?;
                    deleted += count;
                    if count < limit {
                        break;
                    }
                }
            }
            Ok(deleted)
        })
        .await
    }

    /// Deletes the messages of deleted rooms, in transactions of at most `limit` messages. Returns the number of deleted
    /// messages.
    ///
    /// # Errors
    /// If the database fails; what was deleted until then stays deleted.
    pub async fn sweep_messages(&self, limit: u64) -> Result<u64> {
        let store = self.clone();
        self.on_core_without_timeout("delete messages of deleted rooms", async move {
            let mut deleted = 0;
            for room in store.deleted_rooms().await? {
                loop {
                    let count = store.sweep_batch(room, limit).await?;
                    deleted += count;
                    if count < limit {
                        break;
                    }
                }
            }
            Ok(deleted)
        })
        .await
    }

    /// Returns the deleted rooms that still have messages. The query steps from room to room in the index and does not scan
    /// the messages.
    async fn deleted_rooms(&self) -> DbResult<Vec<RoomId>> {
        let sql = "WITH RECURSIVE walk (id) AS (SELECT MIN(room_id) FROM messages UNION ALL \
                   SELECT (SELECT MIN(m.room_id) FROM messages m WHERE m.room_id > walk.id) FROM walk \
                   WHERE walk.id IS NOT NULL) \
                   SELECT id FROM walk WHERE id IS NOT NULL \
                   AND NOT EXISTS (SELECT 1 FROM rooms r WHERE r.id = walk.id)";
        let rows = self.reader().query_all_raw(Statement::from_string(self.backend(), sql)).await?;
        rows.iter().map(|row| Ok(RoomId(row.try_get("", "id")?))).collect()
    }

    /// Deletes up to `limit` messages of a deleted room. It needs no lock, since nothing is appended to such a room.
    async fn sweep_batch(&self, room: RoomId, limit: u64) -> DbResult<u64> {
        let seqs: Vec<i64> = message::Entity::find()
            .select_only()
            .column(message::Column::Seq)
            .filter(message::Column::RoomId.eq(room.0))
            .order_by_asc(message::Column::Seq)
            .limit(limit)
            .into_tuple()
            .all(self.reader())
            .await?;
        let Some(last) = seqs.last() else { return Ok(0) };
        let _permit = self.admission().acquire_write(None).await?;
        let transaction = self.begin().await?;
        let deleted = message::Entity::delete_many()
            .filter(message::Column::RoomId.eq(room.0))
            .filter(message::Column::Seq.lte(*last))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected)
    }

    /// Returns the rooms whose oldest message was stored before a time.
    async fn rooms_older_than(&self, before: Timestamp) -> DbResult<Vec<RoomId>> {
        let sql = "SELECT r.id FROM rooms r JOIN messages m ON m.room_id = r.id AND m.seq = r.first_seq \
                   WHERE m.created_at < $1 ORDER BY r.id";
        let statement = Statement::from_sql_and_values(self.backend(), sql, [before.as_micros().into()]);
        let rows = self.reader().query_all_raw(statement).await?;
        rows.iter().map(|row| Ok(RoomId(row.try_get("", "id")?))).collect()
    }

    /// Deletes up to `limit` messages of one room. Locks the room's row first, as an append does.
    async fn expire_batch(&self, room: RoomId, before: Timestamp, limit: u64) -> DbResult<u64> {
        let _permit = self.admission().acquire_write(None).await?;
        let transaction = self.begin().await?;
        let locked = room::Entity::find_by_id(room.0).lock_exclusive().one(&transaction).await?;
        let Some(locked) = locked else { return Ok(0) };
        let oldest: Vec<(i64, i64)> = message::Entity::find()
            .select_only()
            .columns([message::Column::Seq, message::Column::CreatedAt])
            .filter(message::Column::RoomId.eq(room.0))
            .filter(message::Column::Seq.gte(locked.first_seq))
            .order_by_asc(message::Column::Seq)
            .limit(limit)
            .into_tuple()
            .all(&transaction)
            .await?;
        let old = oldest.iter().take_while(|(_, created_at)| *created_at < before.as_micros());
        let Some((last, _)) = old.last() else {
            // A dropped transaction is rolled back some time later, and the log's lanes would skip the room until then.
            transaction.rollback().await?;
            return Ok(0);
        };
        let deleted = message::Entity::delete_many()
            .filter(message::Column::RoomId.eq(room.0))
            .filter(message::Column::Seq.lte(*last))
            .exec(&transaction)
            .await?;
        room::Entity::update_many()
            .col_expr(room::Column::FirstSeq, Expr::value(last + 1))
            .filter(room::Column::Id.eq(room.0))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected)
    }
}

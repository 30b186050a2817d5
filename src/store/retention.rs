//! Messages that are removed: those of deleted rooms, and old ones, from the beginning of a room's log and never from its
//! middle.

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
    /// Removes the messages that were stored before a moment, up to the first in each room that was not, in
    /// transactions of at most `limit` messages. Says how many it removed.
    ///
    /// # Errors
    /// Where the database fails; what was removed until then stays removed.
    pub async fn expire_messages(&self, before: Timestamp, limit: u64) -> Result<u64> {
        let store = self.clone();
        self.at_length("remove old messages", async move {
            let mut removed = 0;
            for room in store.rooms_older_than(before).await? {
                loop {
                    let some = store.expire_some(room, before, limit).await?;
                    removed += some;
                    if some < limit {
                        break;
                    }
                }
            }
            Ok(removed)
        })
        .await
    }

    /// Removes the messages of rooms that were deleted, in transactions of at most `limit` messages. Returns how many it
    /// removed.
    ///
    /// # Errors
    /// Where the database fails; what was removed until then stays removed.
    pub async fn sweep_messages(&self, limit: u64) -> Result<u64> {
        let store = self.clone();
        self.at_length("remove messages of deleted rooms", async move {
            let mut removed = 0;
            for room in store.deleted_rooms().await? {
                loop {
                    let some = store.sweep_some(room, limit).await?;
                    removed += some;
                    if some < limit {
                        break;
                    }
                }
            }
            Ok(removed)
        })
        .await
    }

    /// Returns the deleted rooms that messages still belong to. It goes from room to room in the index, and not through
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

    /// Removes up to `limit` messages of a deleted room, to which nobody writes.
    async fn sweep_some(&self, room: RoomId, limit: u64) -> DbResult<u64> {
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
        let _turn = self.turns().write(None).await?;
        let transaction = self.begin().await?;
        let removed = message::Entity::delete_many()
            .filter(message::Column::RoomId.eq(room.0))
            .filter(message::Column::Seq.lte(*last))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected)
    }

    /// Returns the rooms whose oldest message was stored before a moment.
    async fn rooms_older_than(&self, before: Timestamp) -> DbResult<Vec<RoomId>> {
        let sql = "SELECT r.id FROM rooms r JOIN messages m ON m.room_id = r.id AND m.seq = r.first_seq \
                   WHERE m.created_at < $1 ORDER BY r.id";
        let statement = Statement::from_sql_and_values(self.backend(), sql, [before.as_micros().into()]);
        let rows = self.reader().query_all_raw(statement).await?;
        rows.iter().map(|row| Ok(RoomId(row.try_get("", "id")?))).collect()
    }

    /// Removes up to `limit` messages of one room. Its row is locked first, as a writer locks it.
    async fn expire_some(&self, room: RoomId, before: Timestamp, limit: u64) -> DbResult<u64> {
        let _turn = self.turns().write(None).await?;
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
            // A transaction that is only dropped ends some time later, and writers pass the room over until then.
            transaction.rollback().await?;
            return Ok(0);
        };
        let removed = message::Entity::delete_many()
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
        Ok(removed.rows_affected)
    }
}

//! Rooms and users found by what people type, each in one statement that also brings what the one is to the other: the
//! time must not tell whether they are there.

use sea_orm::{ConnectionTrait as _, FromQueryResult as _, QueryResult, Statement};

use super::{
    DbResult, Store,
    members::Membership,
    rooms::{RoomRecord, Row},
};
use crate::model::{Result, RoomId, ShortCode, UserId, UserName};

#[cfg(test)]
mod tests;

/// A room as a user finds it.
#[derive(Clone, Debug)]
pub struct FoundRoom {
    /// The room.
    pub record: RoomRecord,
    /// What the user is to it; `None` where they never entered it.
    pub membership: Option<Membership>,
}

/// A user as a room finds them.
#[derive(Clone, Copy, Debug)]
pub struct FoundUser {
    /// The user.
    pub user: UserId,
    /// What they are to the room; `None` where they never entered it.
    pub membership: Option<Membership>,
}

const ROOM: &str = "SELECT r.id, r.short_code, r.name, r.password_hash, r.owner_id, a.user_name AS owner_name, \
     r.created_at, r.active_at, r.last_seq, r.epoch, m.joined, m.banned, m.room_epoch AS entered_at \
     FROM rooms r JOIN accounts a ON a.id = r.owner_id \
     LEFT JOIN members m ON m.room_id = r.id AND m.user_id = $2 WHERE r.short_code = $1";

const USER: &str = "SELECT a.id, m.joined, m.banned, m.room_epoch AS entered_at FROM accounts a \
     LEFT JOIN members m ON m.room_id = $2 AND m.user_id = a.id WHERE a.user_name IN ($1, $3) AND a.deleted_at IS NULL \
     ORDER BY a.user_name = $1 DESC LIMIT 1";

impl Store {
    /// Finds a room by its code, with what `user` is to it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn find_room(&self, code: &ShortCode, user: UserId) -> Result<Option<FoundRoom>> {
        let (store, code) = (self.clone(), code.clone());
        self.reading("find a room", async move {
            let values = [code.as_str().into(), user.0.into()];
            let statement = Statement::from_sql_and_values(store.backend(), ROOM, values);
            let Some(row) = store.reader().query_one_raw(statement).await? else { return Ok(None) };
            let record = Row::from_query_result(&row, "")?.into_record();
            Ok(Some(FoundRoom { record, membership: membership(&row)? }))
        })
        .await
    }

    /// Finds an account that is not deleted by its name, with what its user is to `room`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn find_user(&self, name: &UserName, room: RoomId) -> Result<Option<FoundUser>> {
        let (store, name) = (self.clone(), name.clone());
        self.reading("find a user", async move {
            // Byte for byte, else as new names are written: see `accounts::named`.
            let values = [name.as_str().into(), room.0.into(), name.composed().as_str().into()];
            let statement = Statement::from_sql_and_values(store.backend(), USER, values);
            let Some(row) = store.reader().query_one_raw(statement).await? else { return Ok(None) };
            Ok(Some(FoundUser { user: UserId(row.try_get("", "id")?), membership: membership(&row)? }))
        })
        .await
    }
}

/// Reads the columns of a member, which are null where there is none.
fn membership(row: &QueryResult) -> DbResult<Option<Membership>> {
    let entered_at: Option<i64> = row.try_get("", "entered_at")?;
    let Some(room_epoch) = entered_at else { return Ok(None) };
    Ok(Some(Membership {
        joined: row.try_get("", "joined")?,
        banned: row.try_get("", "banned")?,
        room_epoch,
    }))
}

//! Finds rooms by short code and users by name. One statement also reads the user's membership, so that the time does not
//! reveal whether they exist.

use sea_orm::{ConnectionTrait as _, FromQueryResult as _, QueryResult, Statement};

use super::{
    DbResult, Store,
    members::Membership,
    rooms::{RoomRecord, RoomRow},
};
use crate::model::{Result, RoomId, ShortCode, UserId, UserName};

#[cfg(test)]
mod tests;

/// A room that a user looked for.
#[derive(Clone, Debug)]
pub struct FoundRoom {
    /// The room.
    pub record: RoomRecord,
    /// The user's membership; `None` if they never entered the room.
    pub membership: Option<Membership>,
}

/// A user that was looked for in a room.
#[derive(Clone, Copy, Debug)]
pub struct FoundUser {
    /// The user.
    pub user: UserId,
    /// Their membership of the room; `None` if they never entered it.
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
    /// Finds a room by its code, with the membership of `user`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_room(&self, code: &ShortCode, user: UserId) -> Result<Option<FoundRoom>> {
        let (store, code) = (self.clone(), code.clone());
        self.reading("find a room", async move {
            let values = [code.as_str().into(), user.0.into()];
            let statement = Statement::from_sql_and_values(store.backend(), ROOM, values);
            let Some(row) = store.reader().query_one_raw(statement).await? else { return Ok(None) };
            let record = RoomRow::from_query_result(&row, "")?.into_record();
            Ok(Some(FoundRoom { record, membership: membership(&row)? }))
        })
        .await
    }

    /// Finds an account by its name, with its membership of `room`. Deleted accounts are not found.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_user(&self, name: &UserName, room: RoomId) -> Result<Option<FoundUser>> {
        let (store, name) = (self.clone(), name.clone());
        self.reading("find a user", async move {
            // The exact spelling first, then the spelling in NFC: see `accounts::find_by_name`.
            let values = [name.as_str().into(), room.0.into(), name.composed().as_str().into()];
            let statement = Statement::from_sql_and_values(store.backend(), USER, values);
            let Some(row) = store.reader().query_one_raw(statement).await? else { return Ok(None) };
            Ok(Some(FoundUser { user: UserId(row.try_get("", "id")?), membership: membership(&row)? }))
        })
        .await
    }
}

/// Reads the columns of a membership; they are NULL if there is none.
fn membership(row: &QueryResult) -> DbResult<Option<Membership>> {
    let entered_at: Option<i64> = row.try_get("", "entered_at")?;
    let Some(room_epoch) = entered_at else { return Ok(None) };
    Ok(Some(Membership {
        joined: row.try_get("", "joined")?,
        banned: row.try_get("", "banned")?,
        room_epoch,
    }))
}

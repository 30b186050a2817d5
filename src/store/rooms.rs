//! Creates, finds, changes, lists and deletes rooms.

use grpcchatter_entity::room;
use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, DbBackend, EntityTrait as _, FromQueryResult, PaginatorTrait as _,
    QueryFilter as _, Statement,
    sea_query::{Expr, ExprTrait as _},
};

use super::{DbResult, Failure, Store, transaction::Transaction};
use crate::model::{Error, Result, Room, RoomId, RoomName, Seq, ShortCode, Timestamp, UserId};

/// A room with the fields that clients never see.
#[derive(Clone, Debug)]
pub struct RoomRecord {
    /// The fields that its members see.
    pub room: Room,
    /// A PHC string; `None` if the room has no password.
    pub password_hash: Option<String>,
    /// Rises with every new password.
    pub epoch: i64,
}

/// A new room.
#[derive(Clone)]
pub struct NewRoom {
    /// Its short code, drawn at random.
    pub short_code: ShortCode,
    /// Its name.
    pub name: RoomName,
    /// A PHC string; `None` for a room without a password.
    pub password_hash: Option<String>,
    /// The account that creates it.
    pub owner: UserId,
    /// Maximum number of rooms of its owner, this one included. `None` means no limit.
    pub max_rooms: Option<u32>,
}

/// The last room of a page of [`Store::list_rooms`], after which the next page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomPage {
    /// When it was last active.
    pub active_at: Timestamp,
    /// Its id.
    pub room: RoomId,
}

/// A room's row with its owner's name.
#[derive(FromQueryResult)]
pub(super) struct RoomRow {
    id: i64,
    short_code: String,
    name: String,
    password_hash: Option<String>,
    owner_id: i64,
    owner_name: String,
    created_at: i64,
    active_at: i64,
    last_seq: i64,
    epoch: i64,
}

impl RoomRow {
    pub(super) fn into_record(self) -> RoomRecord {
        RoomRecord {
            room: Room {
                id: RoomId(self.id),
                short_code: ShortCode::trusted(self.short_code),
                name: self.name,
                owner: UserId(self.owner_id),
                owner_name: self.owner_name,
                created_at: Timestamp::from_micros(self.created_at),
                last_seq: Seq(self.last_seq),
            },
            password_hash: self.password_hash,
            epoch: self.epoch,
        }
    }
}

pub(super) const SELECT_ROOM: &str = "SELECT r.id, r.short_code, r.name, r.password_hash, r.owner_id, a.user_name AS owner_name, \
     r.created_at, r.active_at, r.last_seq, r.epoch FROM rooms r JOIN accounts a ON a.id = r.owner_id";

impl Store {
    /// Creates a room. Returns `None` if the short code is taken: draw another. Rooms that are created concurrently may
    /// exceed the limit by their number.
    ///
    /// # Errors
    /// [`Error::TooManyRooms`]; failures of the database.
    pub async fn create_room(&self, new: NewRoom) -> Result<Option<Room>> {
        let store = self.clone();
        self.writing("create a room", async move {
            let now = store.clock().now();
            let row = room::ActiveModel {
                short_code: Set(new.short_code.as_str().to_owned()),
                name: Set(new.name.as_str().to_owned()),
                password_hash: Set(new.password_hash),
                owner_id: Set(new.owner.0),
                created_at: Set(now.as_micros()),
                active_at: Set(now.as_micros()),
                last_seq: Set(0),
                first_seq: Set(1),
                epoch: Set(0),
                members_epoch: Set(0),
                ..Default::default()
            };
            let transaction = store.begin().await?;
            store.lock_account(&transaction, new.owner).await?;
            if let Some(max_rooms) = new.max_rooms {
                let owned = room::Entity::find().filter(room::Column::OwnerId.eq(new.owner.0));
                if owned.count(&transaction).await? >= u64::from(max_rooms) {
                    return Err(Error::TooManyRooms { limit: max_rooms as usize }.into());
                }
            }
            match row.insert(&transaction).await.map_err(Failure::from) {
                Ok(row) => {
                    let created =
                        store.find(&transaction, "r.id = $1", row.id).await?.map(|found| found.room);
                    transaction.commit().await?;
                    Ok(created)
                }
                Err(failure) if failure.is_unique_violation() => Ok(None),
                Err(failure) => Err(failure),
            }
        })
        .await
    }

    /// Locks an account (`FOR SHARE`), so that it is not deleted before the transaction ends: a room must have an owner.
    async fn lock_account(&self, transaction: &Transaction, user: UserId) -> DbResult<()> {
        let mut sql = "SELECT id FROM accounts WHERE id = $1 AND deleted_at IS NULL".to_owned();
        if self.backend() == DbBackend::Postgres {
            sql.push_str(" FOR SHARE");
        }
        let locked =
            transaction.query_one_raw(Statement::from_sql_and_values(self.backend(), sql, [user.0.into()]));
        if locked.await?.is_some() { Ok(()) } else { Err(Error::TokenRevoked.into()) }
    }

    /// Finds a room by its short code.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`] if there is none.
    pub async fn room_by_code(&self, code: &ShortCode) -> Result<RoomRecord> {
        let (store, code) = (self.clone(), code.clone());
        self.reading("find a room", async move {
            let found = store.find(store.reader(), "r.short_code = $1", code.as_str()).await?;
            found.ok_or_else(|| Error::RoomNotFound(code).into())
        })
        .await
    }

    /// Finds a room by its id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn room_by_id(&self, id: RoomId) -> Result<Option<RoomRecord>> {
        let store = self.clone();
        self.reading("find a room", async move { store.find(store.reader(), "r.id = $1", id.0).await }).await
    }

    /// Changes the name, the password, or both. A new password ends every chat and room token except the owner's. Returns
    /// `None` if the room was deleted.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn update_room(
        &self,
        id: RoomId,
        name: Option<RoomName>,
        password_hash: Option<Option<String>>,
    ) -> Result<Option<Room>> {
        let store = self.clone();
        self.writing("change a room", async move {
            let mut update = room::Entity::update_many().filter(room::Column::Id.eq(id.0));
            if let Some(name) = &name {
                update = update.col_expr(room::Column::Name, Expr::value(name.as_str()));
            }
            if let Some(hash) = password_hash {
                update = update
                    .col_expr(room::Column::PasswordHash, Expr::value(hash))
                    .col_expr(room::Column::Epoch, Expr::col(room::Column::Epoch).add(1))
                    .col_expr(room::Column::MembersEpoch, Expr::col(room::Column::MembersEpoch).add(1));
            } else if name.is_none() {
                update = update.col_expr(room::Column::Id, Expr::col(room::Column::Id));
            }
            let transaction = store.begin().await?;
            update.exec(&transaction).await?;
            let found = store.find(&transaction, "r.id = $1", id.0).await?;
            transaction.commit().await?;
            Ok(found.map(|found| found.room))
        })
        .await
    }

    /// Replaces the hash of a room's password by another hash of the same password, which ends no token. Does nothing if
    /// the password was changed meanwhile.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rehash_room_password(&self, id: RoomId, verified: String, hash: String) -> Result<()> {
        let store = self.clone();
        self.writing("replace the hash of a room's password", async move {
            let transaction = store.begin().await?;
            room::Entity::update_many()
                .col_expr(room::Column::PasswordHash, Expr::value(hash))
                .filter(room::Column::Id.eq(id.0))
                .filter(room::Column::PasswordHash.eq(verified))
                .exec(&transaction)
                .await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Deletes a room and its members. [`Store::sweep_messages`] deletes its messages later.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn delete_room(&self, id: RoomId) -> Result<()> {
        let store = self.clone();
        self.writing("delete a room", async move {
            let transaction = store.begin().await?;
            room::Entity::delete_by_id(id.0).exec(&transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Lists the rooms that `user` owns or is a member of, the most recently active first. Returns the last room too, if
    /// there is another page.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list_rooms(
        &self,
        user: UserId,
        after: Option<RoomPage>,
        size: usize,
    ) -> Result<(Vec<Room>, Option<RoomPage>)> {
        let store = self.clone();
        self.reading("list rooms", async move {
            let after = after.unwrap_or(RoomPage { active_at: Timestamp::from_micros(i64::MAX), room: RoomId(i64::MAX) });
            // Sorts the keys of all of the user's rooms, and reads whole rows for the page only.
            let sql = format!(
                "WITH page AS (SELECT id FROM rooms WHERE id IN (SELECT id FROM rooms WHERE owner_id = $1 \
                 UNION ALL SELECT room_id FROM members WHERE user_id = $1 AND joined) \
                 AND (active_at < $2 OR (active_at = $2 AND id < $3)) ORDER BY active_at DESC, id DESC LIMIT $4) \
                 {SELECT_ROOM} JOIN page ON page.id = r.id ORDER BY r.active_at DESC, r.id DESC"
            );
            let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
            let values = [user.0.into(), after.active_at.as_micros().into(), after.room.0.into(), limit.into()];
            let statement = Statement::from_sql_and_values(store.backend(), sql, values);
            let mut rows = RoomRow::find_by_statement(statement).all(store.reader()).await?;
            let more = rows.len() > size;
            rows.truncate(size);
            let next = rows.last().filter(|_| more).map(|last| RoomPage {
                active_at: Timestamp::from_micros(last.active_at),
                room: RoomId(last.id),
            });
            Ok((rows.into_iter().map(|row| row.into_record().room).collect(), next))
        })
        .await
    }

    async fn find(
        &self,
        connection: &impl ConnectionTrait,
        condition: &str,
        value: impl Into<sea_orm::Value>,
    ) -> DbResult<Option<RoomRecord>> {
        let sql = format!("{SELECT_ROOM} WHERE {condition}");
        let statement = Statement::from_sql_and_values(self.backend(), sql, [value.into()]);
        Ok(RoomRow::find_by_statement(statement).one(connection).await?.map(RoomRow::into_record))
    }
}

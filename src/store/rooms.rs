//! Rooms: made, found, changed, listed, deleted.

use grpcchatter_entity::room;
use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, DbBackend, EntityTrait as _, FromQueryResult, PaginatorTrait as _,
    QueryFilter as _, Statement,
    sea_query::{Expr, ExprTrait as _},
};

use super::{DbResult, Failure, Store, transaction::Transaction};
use crate::model::{Error, Result, Room, RoomId, RoomName, ShortCode, Timestamp, UserId};

/// A room with what only the server knows of it.
#[derive(Clone, Debug)]
pub struct RoomRecord {
    /// What its members see.
    pub room: Room,
    /// A PHC string; none where the short code is enough.
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
    /// A PHC string; none where the short code is enough.
    pub password_hash: Option<String>,
    /// Who makes it.
    pub owner: UserId,
    /// How many rooms its owner may have with it; none: no limit.
    pub most: Option<u32>,
}

/// Where a page of [`Store::list_rooms`] goes on: after the room that was active then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomPage {
    /// When the last room of the page before was active.
    pub active_at: Timestamp,
    /// Its id.
    pub room: RoomId,
}

/// A row of rooms with its owner's name.
#[derive(FromQueryResult)]
pub(super) struct Row {
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

impl Row {
    pub(super) fn into_record(self) -> RoomRecord {
        RoomRecord {
            room: Room {
                id: RoomId(self.id),
                short_code: ShortCode::trusted(self.short_code),
                name: self.name,
                owner: UserId(self.owner_id),
                owner_name: self.owner_name,
                created_at: Timestamp::from_micros(self.created_at),
                last_seq: self.last_seq,
            },
            password_hash: self.password_hash,
            epoch: self.epoch,
        }
    }
}

pub(super) const SELECT: &str = "SELECT r.id, r.short_code, r.name, r.password_hash, r.owner_id, a.user_name AS owner_name, \
     r.created_at, r.active_at, r.last_seq, r.epoch FROM rooms r JOIN accounts a ON a.id = r.owner_id";

impl Store {
    /// Makes a room. `None` where the short code is taken: draw another. Rooms that are made at the same moment may go
    /// beyond the limit by as many.
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
            store.hold_account(&transaction, new.owner).await?;
            if let Some(most) = new.most {
                let owned = room::Entity::find().filter(room::Column::OwnerId.eq(new.owner.0));
                if owned.count(&transaction).await? >= u64::from(most) {
                    return Err(Error::TooManyRooms { limit: most as usize }.into());
                }
            }
            match row.insert(&transaction).await.map_err(Failure::from) {
                Ok(row) => {
                    let made = store.find(&transaction, "r.id = $1", row.id).await?.map(|found| found.room);
                    transaction.commit().await?;
                    Ok(made)
                }
                Err(failure) if failure.is_unique_violation() => Ok(None),
                Err(failure) => Err(failure),
            }
        })
        .await
    }

    /// Keeps an account from being deleted before the transaction ends: it must not leave a room without an owner.
    async fn hold_account(&self, transaction: &Transaction, user: UserId) -> DbResult<()> {
        let mut sql = "SELECT id FROM accounts WHERE id = $1 AND deleted_at IS NULL".to_owned();
        if self.backend() == DbBackend::Postgres {
            sql.push_str(" FOR SHARE");
        }
        let held =
            transaction.query_one_raw(Statement::from_sql_and_values(self.backend(), sql, [user.0.into()]));
        if held.await?.is_some() { Ok(()) } else { Err(Error::TokenRevoked.into()) }
    }

    /// Finds a room by what people type.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`] where there is none.
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
    /// Where the database fails.
    pub async fn room_by_id(&self, id: RoomId) -> Result<Option<RoomRecord>> {
        let store = self.clone();
        self.reading("find a room", async move { store.find(store.reader(), "r.id = $1", id.0).await }).await
    }

    /// Changes the name, the password, or both; a new password ends every chat and room token but the owner's.
    /// `None` where the room is gone.
    ///
    /// # Errors
    /// Where the database fails.
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

    /// Replaces the hash of a room's password by another of the same password: nobody is put out. Nothing where it has
    /// another password by now.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn rehash_room_password(&self, id: RoomId, verified: String, hash: String) -> Result<()> {
        let store = self.clone();
        self.writing("hash a room's password anew", async move {
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

    /// Deletes a room and its members at once; its messages are swept up by [`Store::sweep_messages`].
    ///
    /// # Errors
    /// Where the database fails.
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

    /// Lists the rooms that `user` owns or is a member of, the latest active first, and where the next page goes
    /// on.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn list_rooms(
        &self,
        user: UserId,
        after: Option<RoomPage>,
        size: usize,
    ) -> Result<(Vec<Room>, Option<RoomPage>)> {
        let store = self.clone();
        self.reading("list rooms", async move {
            let after = after.unwrap_or(RoomPage { active_at: Timestamp::from_micros(i64::MAX), room: RoomId(i64::MAX) });
            // All of the caller's rooms are sorted, but only those of the page are read whole.
            let sql = format!(
                "WITH page AS (SELECT id FROM rooms WHERE id IN (SELECT id FROM rooms WHERE owner_id = $1 \
                 UNION ALL SELECT room_id FROM members WHERE user_id = $1 AND joined) \
                 AND (active_at < $2 OR (active_at = $2 AND id < $3)) ORDER BY active_at DESC, id DESC LIMIT $4) \
                 {SELECT} JOIN page ON page.id = r.id ORDER BY r.active_at DESC, r.id DESC"
            );
            let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
            let values = [user.0.into(), after.active_at.as_micros().into(), after.room.0.into(), limit.into()];
            let statement = Statement::from_sql_and_values(store.backend(), sql, values);
            let mut rows = Row::find_by_statement(statement).all(store.reader()).await?;
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
        let sql = format!("{SELECT} WHERE {condition}");
        let statement = Statement::from_sql_and_values(self.backend(), sql, [value.into()]);
        Ok(Row::find_by_statement(statement).one(connection).await?.map(Row::into_record))
    }
}

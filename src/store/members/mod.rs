//! Members of rooms: entering, leaving, banning, and checking chat tokens.

use std::collections::HashMap;

use grpcchatter_entity::{member, room};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, PaginatorTrait as _,
    QueryFilter as _, Statement, Value,
    sea_query::{Expr, ExprTrait as _},
};

use super::{DbResult, Store, fair_semaphore::payer, transaction::Transaction};
use crate::model::{
    ChatFacts, ChatIdentity, Epochs, Error, Rejoin, Result, Room, RoomId, Seq, SessionId, ShortCode,
    StoredMembership, Timestamp, UserId, UserIdentity,
};

#[cfg(test)]
mod tests;

/// A user's relation to a room.
#[derive(Clone, Copy, Debug)]
pub struct Membership {
    /// Whether the user is a member.
    pub joined: bool,
    /// Whether the user may not come back.
    pub banned: bool,
    /// The room's epoch when the user last entered.
    pub room_epoch: i64,
}

/// A room, for a caller who may be in it.
#[derive(Clone, Debug)]
pub struct RoomAccess {
    /// The room.
    pub room: Room,
    /// Id of its newest message.
    pub last_message_id: Option<uuid::Uuid>,
    /// seq of the oldest message that is kept.
    pub first_seq: Seq,
    /// The epochs at which the chat token was checked.
    pub epochs: Epochs,
}

/// The rows that a chat token is checked against.
#[derive(FromQueryResult)]
struct AccessRow {
    short_code: String,
    name: String,
    owner_id: i64,
    owner_name: String,
    created_at: i64,
    last_seq: i64,
    last_message_id: Option<uuid::Uuid>,
    first_seq: i64,
    epoch: i64,
    members_epoch: i64,
    joined: Option<bool>,
    banned: Option<bool>,
    member_epoch: Option<i64>,
    session: Option<uuid::Uuid>,
}

const ROOM_ACCESS: &str = "SELECT r.short_code, r.name, r.owner_id, a.user_name AS owner_name, r.created_at, r.last_seq, \
     r.last_message_id, r.first_seq, r.epoch, r.members_epoch, m.joined, m.banned, m.epoch AS member_epoch, \
     s.id AS session FROM rooms r JOIN accounts a ON a.id = r.owner_id \
     LEFT JOIN members m ON m.room_id = r.id AND m.user_id = $2 \
     LEFT JOIN sessions s ON s.id = $3 AND s.user_id = $2 AND s.expires_at > $4 WHERE r.id = $1";

impl Store {
    /// Checks whether a chat token still opens its room, and returns the room.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`], [`Error::TokenRevoked`], [`Error::Banned`], [`Error::NotAMember`].
    pub async fn room_access(&self, identity: &ChatIdentity) -> Result<RoomAccess> {
        let (store, identity) = (self.clone(), identity.clone());
        self.reading(
            "check a chat token",
            async move { store.room_access_in(store.reader(), &identity).await },
        )
        .await
    }

    /// [`Store::room_access`] inside other work of the store.
    pub(super) async fn room_access_in(
        &self,
        connection: &impl ConnectionTrait,
        identity: &ChatIdentity,
    ) -> DbResult<RoomAccess> {
        let values: [Value; 4] = [
            identity.room.0.into(),
            identity.user.0.into(),
            identity.session.0.into(),
            self.clock().now().as_micros().into(),
        ];
        let statement = Statement::from_sql_and_values(self.backend(), ROOM_ACCESS, values);
        let row = AccessRow::find_by_statement(statement).one(connection).await?;
        let row = row.ok_or_else(|| Error::RoomNotFound(identity.short_code.clone()))?;
        let membership = row.member_epoch.map(|epoch| StoredMembership {
            joined: row.joined.unwrap_or_default(),
            banned: row.banned.unwrap_or_default(),
            epoch,
        });
        let facts = ChatFacts {
            owner: UserId(row.owner_id),
            room_epoch: row.epoch,
            membership,
            session_is_alive: row.session.is_some(),
        };
        facts.check(identity)?;
        Ok(RoomAccess {
            room: Room {
                id: identity.room,
                short_code: ShortCode::trusted(row.short_code),
                name: row.name,
                owner: UserId(row.owner_id),
                owner_name: row.owner_name,
                created_at: Timestamp::from_micros(row.created_at),
                last_seq: Seq(row.last_seq),
            },
            last_message_id: row.last_message_id,
            first_seq: Seq(row.first_seq),
            epochs: Epochs { room: row.epoch, members: row.members_epoch },
        })
    }

    /// Makes a user a member of a room, and returns the membership's epoch; `None` if the user is banned. The user's first
    /// Chat begins after the message that is the newest now.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`] if the room was deleted, [`Error::TokenRevoked`] if the session ended,
    /// [`Error::TooManyMemberships`] if the user is in `max_memberships` other rooms.
    pub async fn join_room(
        &self,
        room: &Room,
        room_epoch: i64,
        caller: &UserIdentity,
        max_memberships: Option<u32>,
    ) -> Result<Option<i64>> {
        let (store, id, code) = (self.clone(), room.id, room.short_code.clone());
        let (user, session) = (caller.user, caller.session);
        self.writing("enter a room", async move {
            let sql = "INSERT INTO members (room_id, user_id, joined, banned, epoch, room_epoch, chat_from, last_join) \
                 SELECT id, $2, TRUE, FALSE, 0, $3, last_seq, $4 FROM rooms WHERE id = $1 \
                 ON CONFLICT (room_id, user_id) DO UPDATE SET joined = TRUE, room_epoch = excluded.room_epoch, \
                 chat_from = excluded.chat_from, last_join = excluded.last_join WHERE members.banned = FALSE \
                 RETURNING epoch";
            let now = store.clock().now();
            let values: [Value; 4] = [id.0.into(), user.0.into(), room_epoch.into(), now.as_micros().into()];
            let statement = Statement::from_sql_and_values(store.backend(), sql, values);
            let transaction = store.begin().await?;
            store.lock_account_of_session(&transaction, user, session, now).await?;
            if let Some(max) = max_memberships {
                let others = member::Entity::find()
                    .filter(member::Column::UserId.eq(user.0))
                    .filter(member::Column::RoomId.ne(id.0))
                    .filter(member::Column::Joined.eq(true));
                if others.count(&transaction).await? >= u64::from(max) {
                    return Err(Error::TooManyMemberships { limit: max as usize }.into());
                }
            }
            let joined = match transaction.query_one_raw(statement).await? {
                Some(row) => Some(row.try_get("", "epoch")?),
                None if room::Entity::find_by_id(id.0).one(&transaction).await?.is_some() => None,
                None => return Err(Error::RoomNotFound(code).into()),
            };
            transaction.commit().await?;
            Ok(joined)
        })
        .await
    }

    /// Locks the account of a living session (`FOR KEY SHARE`), so that it is not deleted before the transaction ends: a
    /// deleted account must not stay a member. The session is not locked and may end meanwhile: the account becomes the
    /// member, and a log-out must not wait for a transaction that waits for a room.
    async fn lock_account_of_session(
        &self,
        transaction: &Transaction,
        user: UserId,
        session: SessionId,
        now: Timestamp,
    ) -> DbResult<()> {
        let values: [Value; 3] = [session.0.into(), user.0.into(), now.as_micros().into()];
        let mut sql = "SELECT a.id FROM accounts a JOIN sessions s ON s.user_id = a.id \
             WHERE s.id = $1 AND a.id = $2 AND s.expires_at > $3 AND a.deleted_at IS NULL"
            .to_owned();
        if self.backend() == sea_orm::DbBackend::Postgres {
            sql.push_str(" FOR KEY SHARE OF a");
        }
        let alive =
            transaction.query_one_raw(Statement::from_sql_and_values(self.backend(), sql, values)).await?;
        if alive.is_some() { Ok(()) } else { Err(Error::TokenRevoked.into()) }
    }

    /// Ends the membership of a user and every chat token made from it. Says whether anything changed. A user who was no
    /// member can be banned too. The work is the same if `user` is `None`, so the time does not reveal who exists.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end_membership(&self, room: RoomId, user: Option<UserId>, rejoin: Rejoin) -> Result<bool> {
        let (store, user) = (self.clone(), user.map(|user| user.0));
        self.writing("end a membership", async move {
            let transaction = store.begin().await?;
            let raised = raise_members_epoch(&transaction, room).await?;
            let changed = if rejoin == Rejoin::Banned {
                let sql = "INSERT INTO members (room_id, user_id, joined, banned, epoch, room_epoch, chat_from, last_join) \
                     SELECT $1, id, FALSE, TRUE, 1, 0, NULL, $3 FROM accounts WHERE id = $2 \
                     ON CONFLICT (room_id, user_id) DO UPDATE SET joined = FALSE, banned = TRUE, epoch = members.epoch + 1, chat_from = NULL \
                     WHERE members.joined OR NOT members.banned";
                let values: [Value; 3] = [room.0.into(), user.into(), store.clock().now().as_micros().into()];
                if !raised {
                    return Ok(false);
                }
                let statement = Statement::from_sql_and_values(store.backend(), sql, values);
                transaction.execute_raw(statement).await?.rows_affected()
            } else {
                member::Entity::update_many()
                    .col_expr(member::Column::Joined, Expr::value(false))
                    .col_expr(member::Column::ChatFrom, Expr::value(None::<i64>))
                    .col_expr(member::Column::Epoch, Expr::col(member::Column::Epoch).add(1))
                    .filter(member::Column::RoomId.eq(room.0))
                    .filter(member::Column::UserId.eq(user))
                    .filter(member::Column::Joined.eq(true))
                    .exec(&transaction)
                    .await?
                    .rows_affected
            };
            transaction.commit().await?;
            Ok(changed > 0)
        })
        .await
    }

    /// Lifts a ban, and says whether there was one. The work is the same if there was none, or `user` is `None`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unban(&self, room: RoomId, user: Option<UserId>) -> Result<bool> {
        let (store, user) = (self.clone(), user.map(|user| user.0));
        self.writing("lift a ban", async move {
            let transaction = store.begin().await?;
            raise_members_epoch(&transaction, room).await?;
            let lifted = member::Entity::update_many()
                .col_expr(member::Column::Banned, Expr::value(false))
                .filter(member::Column::RoomId.eq(room.0))
                .filter(member::Column::UserId.eq(user))
                .filter(member::Column::Banned.eq(true))
                .exec(&transaction)
                .await?
                .rows_affected;
            transaction.commit().await?;
            Ok(lifted > 0)
        })
        .await
    }

    /// Takes the seq after which the first Chat since entering begins. Only the first stream to ask gets it. A caller that
    /// is dropped before the answer takes nothing.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn take_chat_start(&self, room: RoomId, user: UserId) -> Result<Option<Seq>> {
        let store = self.clone();
        let caller = std::sync::Arc::new(());
        let waiting_caller = std::sync::Arc::downgrade(&caller);
        let payer = payer();
        let taking = self.on_core("take the start of a chat", async move {
            let mut statement = Statement::from_sql_and_values(
                store.backend(),
                "SELECT chat_from FROM members WHERE room_id = $1 AND user_id = $2 AND chat_from IS NOT NULL",
                [room.0.into(), user.0.into()],
            );
            // Usually there is nothing to take: then nothing needs to be written.
            if store.reader().query_one_raw(statement.clone()).await?.is_none() {
                return Ok(None);
            }
            let _permit = store.admission().acquire_write(payer).await?;
            let transaction = store.begin().await?;
            if store.backend() == sea_orm::DbBackend::Postgres {
                statement.sql.push_str(" FOR UPDATE");
            }
            let Some(row) = transaction.query_one_raw(statement).await? else { return Ok(None) };
            let from: Option<i64> = row.try_get("", "chat_from")?;
            member::Entity::update_many()
                .col_expr(member::Column::ChatFrom, Expr::value(None::<i64>))
                .filter(member::Column::RoomId.eq(room.0))
                .filter(member::Column::UserId.eq(user.0))
                .exec(&transaction)
                .await?;
            // The caller was dropped: no Chat would begin there.
            if waiting_caller.strong_count() == 0 {
                return Ok(None);
            }
            transaction.commit().await?;
            Ok(from.map(Seq))
        });
        let taken = taking.await;
        drop(caller);
        taken
    }

    /// Checks the chat tokens of a room's open streams again. Returns the refusals, each with its index in `identities`,
    /// and the epochs at which the others are valid; `None` if the room was deleted.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn recheck_access(
        &self,
        room: RoomId,
        identities: Vec<std::sync::Arc<ChatIdentity>>,
    ) -> Result<(Vec<(usize, Error)>, Option<Epochs>)> {
        let store = self.clone();
        self.on_core("check open streams", async move {
            let connection = store.reader();
            let Some(found) = room::Entity::find_by_id(room.0).one(connection).await? else {
                let gone = |identity: &ChatIdentity| Error::RoomNotFound(identity.short_code.clone());
                return Ok((identities.iter().enumerate().map(|(at, id)| (at, gone(id))).collect(), None));
            };
            let epochs = Epochs { room: found.epoch, members: found.members_epoch };
            let members = Memberships::load(connection, &identities).await?;
            let sessions = identities.iter().map(|identity| identity.session);
            let ended = store.ended_sessions_in(connection, sessions).await?;
            let refused = identities
                .iter()
                .enumerate()
                .filter_map(|(at, identity)| {
                    let facts = ChatFacts {
                        session_is_alive: !ended.contains(&identity.session),
                        ..members.facts_for(identity, UserId(found.owner_id), found.epoch)
                    };
                    facts.check(identity).err().map(|error| (at, error))
                })
                .collect();
            Ok((refused, Some(epochs)))
        })
        .await
    }
}

/// Raises the epoch by which the chat tokens of the room's open streams are checked again. Says whether the room exists.
async fn raise_members_epoch(transaction: &impl ConnectionTrait, room: RoomId) -> DbResult<bool> {
    let raised = room::Entity::update_many()
        .col_expr(room::Column::MembersEpoch, Expr::col(room::Column::MembersEpoch).add(1))
        .filter(room::Column::Id.eq(room.0))
        .exec(transaction)
        .await?;
    Ok(raised.rows_affected > 0)
}

/// The memberships of some chat tokens.
pub(super) struct Memberships(HashMap<(RoomId, UserId), StoredMembership>);

impl Memberships {
    /// Reads the memberships, at most 1,000 in one statement: that is below the parameter limits of both databases.
    pub(super) async fn load(
        connection: &impl ConnectionTrait,
        identities: &[std::sync::Arc<ChatIdentity>],
    ) -> DbResult<Self> {
        let mut members = HashMap::new();
        for some in identities.chunks(1_000) {
            let columns = Expr::tuple([Expr::col(member::Column::RoomId), Expr::col(member::Column::UserId)]);
            let pairs = some.iter().map(|identity| (identity.room.0, identity.user.0));
            let rows = member::Entity::find().filter(columns.in_tuples(pairs)).all(connection).await?;
            members.extend(rows.into_iter().map(|row| {
                let membership =
                    StoredMembership { joined: row.joined, banned: row.banned, epoch: row.epoch };
                ((RoomId(row.room_id), UserId(row.user_id)), membership)
            }));
        }
        Ok(Self(members))
    }

    /// Returns what a chat token is checked against, for a session that is alive.
    pub(super) fn facts_for(&self, identity: &ChatIdentity, owner: UserId, room_epoch: i64) -> ChatFacts {
        let membership = self.0.get(&(identity.room, identity.user)).copied();
        ChatFacts { owner, room_epoch, membership, session_is_alive: true }
    }
}

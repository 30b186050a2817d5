//! Members: who may be in a room, and since which epoch.

use std::collections::HashMap;

use grpcchatter_entity::{member, room};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, PaginatorTrait as _,
    QueryFilter as _, Statement, Value,
    sea_query::{Expr, ExprTrait as _},
};

use super::{DbResult, Store, gate::payer, transaction::Transaction};
use crate::model::{
    ChatIdentity, Epochs, Error, Result, Room, RoomId, SessionId, ShortCode, Timestamp, UserId, UserIdentity,
};

#[cfg(test)]
mod tests;

/// What a user is to a room.
#[derive(Clone, Copy, Debug)]
pub struct Membership {
    /// Whether they are a member.
    pub joined: bool,
    /// Whether they may not come back.
    pub banned: bool,
    /// The room's epoch when they entered last.
    pub room_epoch: i64,
}

/// A room as someone with the right to be in it finds it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The room.
    pub room: Room,
    /// The id of its newest message.
    pub last_message_id: Option<uuid::Uuid>,
    /// seq of the oldest message that is kept.
    pub first_seq: i64,
    /// The epochs at which the right was checked.
    pub epochs: Epochs,
}

/// A chat token held against the database.
#[derive(FromQueryResult)]
struct Row {
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

/// Holds what a chat token says against what the database knows: the one place with this rule.
pub(super) fn check(
    identity: &ChatIdentity,
    owner: UserId,
    epoch: i64,
    member: Option<(bool, bool, i64)>,
    session_alive: bool,
) -> Result<()> {
    let code = || identity.short_code.clone();
    match member {
        _ if !session_alive => Err(Error::TokenRevoked),
        Some((_, true, _)) => Err(Error::Banned(code())),
        Some((true, false, member_epoch)) if member_epoch == identity.member_epoch => {
            if epoch == identity.room_epoch || owner == identity.user {
                Ok(())
            } else {
                Err(Error::TokenRevoked)
            }
        }
        _ => Err(Error::NotAMember(code())),
    }
}

const STANDING: &str = "SELECT r.short_code, r.name, r.owner_id, a.user_name AS owner_name, r.created_at, r.last_seq, \
     r.last_message_id, r.first_seq, r.epoch, r.members_epoch, m.joined, m.banned, m.epoch AS member_epoch, \
     s.id AS session FROM rooms r JOIN accounts a ON a.id = r.owner_id \
     LEFT JOIN members m ON m.room_id = r.id AND m.user_id = $2 \
     LEFT JOIN sessions s ON s.id = $3 AND s.user_id = $2 AND s.expires_at > $4 WHERE r.id = $1";

impl Store {
    /// Looks up whether a chat token still opens its room, and the room.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`], [`Error::TokenRevoked`], [`Error::Banned`], [`Error::NotAMember`].
    pub async fn standing(&self, identity: &ChatIdentity) -> Result<Standing> {
        let (store, identity) = (self.clone(), identity.clone());
        self.reading("check a chat token", async move { store.standing_in(store.reader(), &identity).await })
            .await
    }

    /// [`Store::standing`] inside other work of the store.
    pub(super) async fn standing_in(
        &self,
        connection: &impl ConnectionTrait,
        identity: &ChatIdentity,
    ) -> DbResult<Standing> {
        let values: [Value; 4] = [
            identity.room.0.into(),
            identity.user.0.into(),
            identity.session.0.into(),
            self.clock().now().as_micros().into(),
        ];
        let statement = Statement::from_sql_and_values(self.backend(), STANDING, values);
        let row = Row::find_by_statement(statement).one(connection).await?;
        let row = row.ok_or_else(|| Error::RoomNotFound(identity.short_code.clone()))?;
        let member = row
            .member_epoch
            .map(|epoch| (row.joined.unwrap_or_default(), row.banned.unwrap_or_default(), epoch));
        check(identity, UserId(row.owner_id), row.epoch, member, row.session.is_some())?;
        Ok(Standing {
            room: Room {
                id: identity.room,
                short_code: ShortCode::trusted(row.short_code),
                name: row.name,
                owner: UserId(row.owner_id),
                owner_name: row.owner_name,
                created_at: Timestamp::from_micros(row.created_at),
                last_seq: row.last_seq,
            },
            last_message_id: row.last_message_id,
            first_seq: row.first_seq,
            epochs: Epochs { room: row.epoch, members: row.members_epoch },
        })
    }

    /// Enters a user into the room, and returns the membership's epoch: what is said from now on, their first
    /// Chat will begin with. `None` where they were banned meanwhile.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`] where the room went away meanwhile, [`Error::TokenRevoked`] where the session ended,
    /// [`Error::TooManyMemberships`] where they are in `most` other rooms.
    pub async fn join_room(
        &self,
        room: &Room,
        room_epoch: i64,
        caller: &UserIdentity,
        most: Option<u32>,
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
            store.hold_account_of(&transaction, user, session, now).await?;
            if let Some(most) = most {
                let others = member::Entity::find()
                    .filter(member::Column::UserId.eq(user.0))
                    .filter(member::Column::RoomId.ne(id.0))
                    .filter(member::Column::Joined.eq(true));
                if others.count(&transaction).await? >= u64::from(most) {
                    return Err(Error::TooManyMemberships { limit: most as usize }.into());
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

    /// Keeps the account of a living session from being deleted before the transaction ends: it must not stay a member.
    /// The session may end meanwhile: it is the account that enters, and log-out waits for nobody who waits for a room.
    async fn hold_account_of(
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

    /// Ends `user`'s membership and every chat token made from it. With `ban`, they may not come back, whether
    /// they were a member or not. Says whether anything changed. The work is the same for nobody, so that the time does
    /// not tell who is there.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn end_membership(&self, room: RoomId, user: Option<UserId>, ban: bool) -> Result<bool> {
        let (store, user) = (self.clone(), user.map(|user| user.0));
        self.writing("end a membership", async move {
            let transaction = store.begin().await?;
            let raised = raise_members_epoch(&transaction, room).await?;
            let changed = if ban {
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

    /// Lets a banned user in again. Says whether they were banned. The work is the same for nobody, and for one who was not.
    ///
    /// # Errors
    /// Where the database fails.
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

    /// Takes the place where the first Chat after entering begins: once, on whichever stream asks first. A caller that
    /// does not wait for the answer takes nothing.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn take_chat_from(&self, room: RoomId, user: UserId) -> Result<Option<i64>> {
        let store = self.clone();
        let asked = std::sync::Arc::new(());
        let still_asked = std::sync::Arc::downgrade(&asked);
        let payer = payer();
        let taking = self.on_core("take the start of a chat", async move {
            let mut statement = Statement::from_sql_and_values(
                store.backend(),
                "SELECT chat_from FROM members WHERE room_id = $1 AND user_id = $2 AND chat_from IS NOT NULL",
                [room.0.into(), user.0.into()],
            );
            // Most often there is nothing to take, and then nothing need be written.
            if store.reader().query_one_raw(statement.clone()).await?.is_none() {
                return Ok(None);
            }
            let _turn = store.turns().write(payer).await?;
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
            // Nobody would begin there.
            if still_asked.strong_count() == 0 {
                return Ok(None);
            }
            transaction.commit().await?;
            Ok(from)
        });
        let taken = taking.await;
        drop(asked);
        taken
    }

    /// Holds the chat tokens of a room's open streams against the database again, and returns the refusal of
    /// each that no longer stands, by its place in `identities`, and the epochs at which the others do.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn recheck(
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
            let ended = store.ended_among(connection, sessions).await?;
            let refused = identities
                .iter()
                .enumerate()
                .filter_map(|(at, identity)| {
                    let is_alive = !ended.contains(&identity.session);
                    let owner = UserId(found.owner_id);
                    members.check(identity, owner, found.epoch, is_alive).err().map(|error| (at, error))
                })
                .collect();
            Ok((refused, Some(epochs)))
        })
        .await
    }
}

/// Has the room's open streams checked again, and says whether there is such a room.
async fn raise_members_epoch(transaction: &impl ConnectionTrait, room: RoomId) -> DbResult<bool> {
    let raised = room::Entity::update_many()
        .col_expr(room::Column::MembersEpoch, Expr::col(room::Column::MembersEpoch).add(1))
        .filter(room::Column::Id.eq(room.0))
        .exec(transaction)
        .await?;
    Ok(raised.rows_affected > 0)
}

/// The memberships on which some chat tokens rest.
pub(super) struct Memberships(HashMap<(RoomId, UserId), (bool, bool, i64)>);

impl Memberships {
    /// Reads them. Large sets are read in slices, below every database's limit of parameters.
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
                ((RoomId(row.room_id), UserId(row.user_id)), (row.joined, row.banned, row.epoch))
            }));
        }
        Ok(Self(members))
    }

    /// Holds one token against what was read.
    pub(super) fn check(
        &self,
        identity: &ChatIdentity,
        owner: UserId,
        epoch: i64,
        session_alive: bool,
    ) -> Result<()> {
        let member = self.0.get(&(identity.room, identity.user)).copied();
        check(identity, owner, epoch, member, session_alive)
    }
}

use std::time::Duration;

use grpcchatter_entity::{account, member, room, session};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, IntoCondition, Query},
};

use super::{DbResult, Store, accounts::to_account};
use crate::model::{Account, Error, Result, RoomId, SessionId, Timestamp, UserId};

/// How long the refresh token before the present one answers once more: a client may have lost the answer.
const REPEAT_WINDOW: Duration = Duration::from_secs(30);

/// A session that lives.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub account: Account,
    /// How often it was refreshed.
    pub generation: i64,
    /// The hash of its present refresh token.
    pub refresh_hash: Vec<u8>,
    /// When it was refreshed last, or made.
    pub refreshed_at: Timestamp,
}

/// A session about to be made: whoever makes its first refresh token has chosen its id.
#[derive(Debug)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// The hash of its first refresh token.
    pub refresh_hash: Vec<u8>,
    /// How long it lives unless it is refreshed.
    pub lives: Duration,
    /// How many sessions its user may have with it: the oldest end. None: no limit.
    pub most: Option<u32>,
}

/// A refresh token that a client showed, and its successor.
#[derive(Debug)]
pub struct Turn {
    /// The session that it renews.
    pub session: SessionId,
    /// How often the session was refreshed when the token was given.
    pub generation: i64,
    /// The hash of the token.
    pub shown: Vec<u8>,
    /// The hash of its successor.
    pub next: Vec<u8>,
    /// How long the session lives from now on.
    pub lives: Duration,
}

/// What showing a refresh token led to.
#[derive(Debug)]
pub enum Refreshed {
    /// The session goes on with the successor, or already did a moment ago: the answer is the same.
    Alive(Session),
    /// The token is not a session's: it never was, or the session ended before.
    Unknown,
    /// The session's time was over, or its account's: it has ended now. The rooms' members must be checked again.
    Expired(Vec<RoomId>),
    /// The token was used before, so somebody else may have it: the session has ended. The rooms' members must
    /// be checked again.
    Reused(Vec<RoomId>),
}

impl Store {
    /// Opens a session for an account whose password was verified against `verified_hash`, and replaces that
    /// hash where a newer kind was made. Returns the rooms whose members must be checked again, since an older session
    /// ended for it.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] where the account is gone or has another password by now; failures of the
    /// database.
    pub async fn open_session(
        &self,
        user: UserId,
        verified_hash: String,
        rehashed: Option<String>,
        new: NewSession,
    ) -> Result<(Session, Vec<RoomId>)> {
        let store = self.clone();
        self.ending("open session", async move {
            let transaction = store.begin().await?;
            let row = account::Entity::find_by_id(user.0)
                .filter(account::Column::PasswordHash.eq(verified_hash))
                .filter(account::Column::DisabledAt.is_null())
                .filter(account::Column::DeletedAt.is_null())
                .lock_exclusive()
                .one(&transaction)
                .await?;
            let account = to_account(row.ok_or(Error::InvalidCredentials)?);
            if let Some(hash) = rehashed {
                account::Entity::update_many()
                    .col_expr(account::Column::PasswordHash, Expr::value(hash))
                    .filter(account::Column::Id.eq(user.0))
                    .exec(&transaction)
                    .await?;
            }
            let now = store.clock().now();
            session::Entity::insert(session::ActiveModel {
                id: Set(new.id.0),
                user_id: Set(user.0),
                refresh_hash: Set(new.refresh_hash.clone()),
                previous_hash: Set(None),
                generation: Set(0),
                refreshed_at: Set(now.as_micros()),
                expires_at: Set((now + new.lives).as_micros()),
            })
            .exec_without_returning(&transaction)
            .await?;
            let rooms = end_oldest(&transaction, user, &new).await?;
            transaction.commit().await?;
            let refresh_hash = new.refresh_hash;
            Ok((Session { id: new.id, account, generation: 0, refresh_hash, refreshed_at: now }, rooms))
        })
        .await
    }

    /// Says whether a session lives: it has not ended, its time is not over, its account can log in.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn session_is_alive(&self, session: SessionId, user: UserId) -> Result<bool> {
        let store = self.clone();
        self.reading("find session", async move {
            let account_is_alive = Query::select()
                .column(account::Column::Id)
                .from(account::Entity)
                .cond_where(account::Column::Id.eq(user.0))
                .cond_where(account::Column::DisabledAt.is_null())
                .cond_where(account::Column::DeletedAt.is_null())
                .to_owned();
            let row = session::Entity::find_by_id(session.0)
                .filter(session::Column::ExpiresAt.gt(store.clock().now().as_micros()))
                .filter(session::Column::UserId.in_subquery(account_is_alive))
                .one(store.reader())
                .await?;
            Ok(row.is_some())
        })
        .await
    }

    async fn session_is_there(&self, session: SessionId) -> Result<bool> {
        let store = self.clone();
        self.reading("find session", async move {
            Ok(session::Entity::find_by_id(session.0).one(store.reader()).await?.is_some())
        })
        .await
    }

    /// Takes a refresh token's turn.
    ///
    /// # Errors
    /// Failures of the database; what the token led to is in the answer.
    pub async fn refresh_session(&self, turn: Turn) -> Result<Refreshed> {
        // Most often there is something to write; whoever shows the token of a session that has ended takes no turn.
        if !self.session_is_there(turn.session).await? {
            return Ok(Refreshed::Unknown);
        }
        let store = self.clone();
        self.in_turn("refresh session", async move {
            let transaction = store.begin().await?;
            let row = session::Entity::find_by_id(turn.session.0).lock_exclusive().one(&transaction).await?;
            let Some(row) = row else { return Ok(Refreshed::Unknown) };
            let owner = account::Entity::find_by_id(row.user_id)
                .filter(account::Column::DisabledAt.is_null())
                .filter(account::Column::DeletedAt.is_null())
                .one(&transaction)
                .await?;
            let now = store.clock().now();
            let this = session::Column::Id.eq(row.id);
            let judgement = owner.map_or(Judgement::End(Refreshed::Expired), |owner| {
                judge(&row, to_account(owner), &turn, now)
            });
            match judgement {
                Judgement::Next(session) => {
                    let next = session::ActiveModel {
                        refresh_hash: Set(session.refresh_hash.clone()),
                        previous_hash: Set(Some(turn.shown)),
                        generation: Set(session.generation),
                        refreshed_at: Set(now.as_micros()),
                        expires_at: Set((now + turn.lives).as_micros()),
                        ..Default::default()
                    };
                    session::Entity::update_many().set(next).filter(this).exec(&transaction).await?;
                    transaction.commit().await?;
                    Ok(Refreshed::Alive(session))
                }
                Judgement::Again(session) => Ok(Refreshed::Alive(session)),
                Judgement::End(why) => {
                    let rooms = end_sessions(&transaction, UserId(row.user_id), this).await?;
                    transaction.commit().await?;
                    Ok(why(rooms))
                }
            }
        })
        .await
    }

    /// Ends a session; one that has ended already stays so. Returns the rooms whose members must be checked
    /// again.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn end_session(&self, session: SessionId, user: UserId) -> Result<Vec<RoomId>> {
        let store = self.clone();
        self.ending("end session", async move {
            let transaction = store.begin().await?;
            let this = session::Column::Id.eq(session.0).and(session::Column::UserId.eq(user.0));
            let rooms = end_sessions(&transaction, user, this).await?;
            transaction.commit().await?;
            Ok(rooms)
        })
        .await
    }

    /// Ends the sessions whose time is over, each user's in a transaction of their own. Returns the rooms whose
    /// members must be checked again.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn end_expired_sessions(&self) -> Result<Vec<RoomId>> {
        let store = self.clone();
        self.on_core("end expired sessions", async move {
            let over = || session::Column::ExpiresAt.lte(store.clock().now().as_micros());
            let users: Vec<i64> = session::Entity::find()
                .select_only()
                .column(session::Column::UserId)
                .distinct()
                .filter(over())
                .into_tuple()
                .all(store.reader())
                .await?;
            let mut rooms = Vec::new();
            for user in users {
                let _turn = store.turns().write(None).await?;
                let transaction = store.begin().await?;
                let theirs = session::Column::UserId.eq(user).and(over());
                rooms.extend(end_sessions(&transaction, UserId(user), theirs).await?);
                transaction.commit().await?;
            }
            Ok(rooms)
        })
        .await
    }
}

/// Ends the sessions of a user beyond as many as they may have, those first that were refreshed the longest ago.
async fn end_oldest(
    transaction: &DatabaseTransaction,
    user: UserId,
    new: &NewSession,
) -> DbResult<Vec<RoomId>> {
    let Some(most) = new.most else { return Ok(Vec::new()) };
    let others: Vec<uuid::Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::UserId.eq(user.0))
        .filter(session::Column::Id.ne(new.id.0))
        .order_by_desc(session::Column::RefreshedAt)
        .into_tuple()
        .all(transaction)
        .await?;
    let kept = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(1);
    let beyond = others.into_iter().skip(kept).take(AT_ONCE).collect::<Vec<_>>();
    if beyond.is_empty() {
        return Ok(Vec::new());
    }
    end_sessions(transaction, user, session::Column::Id.is_in(beyond)).await
}

/// How many sessions one log-in ends at most: where the limit was lowered, the next log-ins end more.
const AT_ONCE: usize = 1_000;

/// What a refresh token means to the session that it names.
enum Judgement {
    /// It is the present one: the session goes on like this.
    Next(Session),
    /// It is the one before, and was replaced a moment ago: the session is this.
    Again(Session),
    /// The session ends, and this is why.
    End(fn(Vec<RoomId>) -> Refreshed),
}

fn judge(row: &session::Model, account: Account, turn: &Turn, now: Timestamp) -> Judgement {
    if now >= Timestamp::from_micros(row.expires_at) {
        return Judgement::End(Refreshed::Expired);
    }
    let id = turn.session;
    if turn.generation == row.generation && turn.shown == row.refresh_hash {
        let (generation, refresh_hash) = (row.generation + 1, turn.next.clone());
        return Judgement::Next(Session { id, account, generation, refresh_hash, refreshed_at: now });
    }
    let refreshed_at = Timestamp::from_micros(row.refreshed_at);
    let is_last = turn.generation + 1 == row.generation && row.previous_hash.as_ref() == Some(&turn.shown);
    if is_last && now.since(refreshed_at) <= REPEAT_WINDOW {
        let (generation, refresh_hash) = (row.generation, row.refresh_hash.clone());
        return Judgement::Again(Session { id, account, generation, refresh_hash, refreshed_at });
    }
    Judgement::End(Refreshed::Reused)
}

/// Ends the sessions of `user` that `which` selects, and raises `members_epoch` of every room that the user is
/// in, so that chat tokens of those sessions, and streams that they opened, are checked again.
///
/// The rooms are locked by rising id, as the log's writer does, so that the two never wait for each other.
pub(super) async fn end_sessions(
    transaction: &DatabaseTransaction,
    user: UserId,
    which: impl IntoCondition,
) -> DbResult<Vec<RoomId>> {
    let ended = session::Entity::delete_many().filter(which).exec(transaction).await?;
    if ended.rows_affected == 0 {
        return Ok(Vec::new());
    }
    let entered = Query::select()
        .column(member::Column::RoomId)
        .from(member::Entity)
        .cond_where(member::Column::UserId.eq(user.0))
        .cond_where(member::Column::Joined.eq(true))
        .to_owned();
    let rooms: Vec<i64> = room::Entity::find()
        .select_only()
        .column(room::Column::Id)
        .filter(room::Column::Id.in_subquery(entered))
        .order_by_asc(room::Column::Id)
        .lock_exclusive()
        .into_tuple()
        .all(transaction)
        .await?;
    if !rooms.is_empty() {
        room::Entity::update_many()
            .col_expr(room::Column::MembersEpoch, Expr::col(room::Column::MembersEpoch).add(1))
            .filter(room::Column::Id.is_in(rooms.iter().copied()))
            .exec(transaction)
            .await?;
    }
    Ok(rooms.into_iter().map(RoomId).collect())
}

#[cfg(test)]
mod tests;

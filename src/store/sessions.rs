//! Sessions: opened, renewed, ended.
//!
//! A session lives while its row is there and its time is not over, and that row is all that its end writes: what rests on
//! it looks it up. A call does so as it comes in, the log under a lock on the row (`log/rights.rs`), open streams once a
//! second. So an end costs the same in however many rooms its user is, and waits for nobody's room.

use std::{collections::HashSet, time::Duration};

use grpcchatter_entity::{account, session};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    Statement, Value,
    sea_query::{Condition, Expr, ExprTrait as _, IntoCondition, LockType, Query},
};
use uuid::Uuid;

use super::{DbResult, Store, accounts::to_account, many, transaction::Transaction};
use crate::model::{Account, Error, Result, SessionId, Timestamp, UserId};

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
    /// The session's time was over, or its account's: this user's session has ended now.
    Expired(UserId),
    /// The token was used before, so somebody else may have it: this user's session has ended.
    Reused(UserId),
}

impl Store {
    /// Opens a session for an account whose password was verified against `verified_hash`, and replaces that
    /// hash where a newer kind was made. Returns it with the older sessions that ended for it.
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
    ) -> Result<(Session, Vec<SessionId>)> {
        let store = self.clone();
        self.writing("open session", async move {
            let transaction = store.begin().await?;
            let row = account::Entity::find_by_id(user.0)
                .filter(account::Column::PasswordHash.eq(verified_hash))
                .filter(account::Column::DisabledAt.is_null())
                .filter(account::Column::DeletedAt.is_null())
                // Whoever enters a room meanwhile holds the account against its deletion, and may wait for the room.
                .lock(LockType::NoKeyUpdate)
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
            let ended = end_oldest(&transaction, user, &new).await?;
            transaction.commit().await?;
            let refresh_hash = new.refresh_hash;
            Ok((Session { id: new.id, account, generation: 0, refresh_hash, refreshed_at: now }, ended))
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

    /// Returns which of these sessions do not live.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn ended_sessions(&self, sessions: Vec<SessionId>) -> Result<HashSet<SessionId>> {
        let store = self.clone();
        self.on_core("check the sessions of open streams", async move {
            store.ended_among(store.reader(), sessions).await
        })
        .await
    }

    /// [`Store::ended_sessions`] inside other work of the store.
    pub(super) async fn ended_among(
        &self,
        connection: &impl ConnectionTrait,
        sessions: impl IntoIterator<Item = SessionId>,
    ) -> DbResult<HashSet<SessionId>> {
        let asked: HashSet<SessionId> = sessions.into_iter().collect();
        let asked: Vec<Uuid> = asked.into_iter().map(|session| session.0).collect();
        let mut ended = HashSet::new();
        for some in asked.chunks(1_000) {
            let mut values: Vec<Value> = vec![self.clock().now().as_micros().into()];
            let asked = many::rows(self.backend(), some.to_vec(), &mut values);
            // Hardly any have ended: of the others nothing is sent back.
            let sql = format!(
                "WITH asked (id) AS ({asked}) SELECT asked.id FROM asked WHERE NOT EXISTS \
                 (SELECT 1 FROM sessions s WHERE s.id = asked.id AND s.expires_at > $1)"
            );
            let statement = Statement::from_sql_and_values(self.backend(), sql, values);
            for row in connection.query_all_raw(statement).await? {
                ended.insert(SessionId(row.try_get("", "id")?));
            }
        }
        Ok(ended)
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
        self.writing("refresh session", async move {
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
                Judgement::Again(session) => {
                    // Whoever wrote what is answered may still wait for the standby, and this commit waits behind it.
                    transaction.commit().await?;
                    Ok(Refreshed::Alive(session))
                }
                Judgement::End(why) => {
                    end_sessions(&transaction, this).await?;
                    transaction.commit().await?;
                    Ok(why(UserId(row.user_id)))
                }
            }
        })
        .await
    }

    /// Ends a session; one that has ended already stays so.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn end_session(&self, session: SessionId, user: UserId) -> Result<()> {
        let store = self.clone();
        self.writing("end session", async move {
            let transaction = store.begin().await?;
            let this = session::Column::Id.eq(session.0).and(session::Column::UserId.eq(user.0));
            end_sessions(&transaction, this).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Ends the sessions whose time is over, in transactions of at most `limit` sessions. They have not lived since: their
    /// rows would stay for ever.
    ///
    /// # Errors
    /// Failures of the database; what was ended until then stays so.
    pub async fn end_expired_sessions(&self, limit: u64) -> Result<()> {
        let store = self.clone();
        self.at_length("end expired sessions", async move {
            let over = || session::Column::ExpiresAt.lte(store.clock().now().as_micros());
            loop {
                let some: Vec<Uuid> = session::Entity::find()
                    .select_only()
                    .column(session::Column::Id)
                    .filter(over())
                    .limit(limit)
                    .into_tuple()
                    .all(store.reader())
                    .await?;
                let is_last = u64::try_from(some.len()).is_ok_and(|found| found < limit);
                if !some.is_empty() {
                    let _turn = store.turns().write(None).await?;
                    let transaction = store.begin().await?;
                    end_sessions(&transaction, session::Column::Id.is_in(some).and(over())).await?;
                    transaction.commit().await?;
                }
                if is_last {
                    return Ok(());
                }
            }
        })
        .await
    }
}

/// Ends the sessions of a user beyond as many as they may have, those first that were refreshed the longest ago.
async fn end_oldest(transaction: &Transaction, user: UserId, new: &NewSession) -> DbResult<Vec<SessionId>> {
    let Some(most) = new.most else { return Ok(Vec::new()) };
    let others: Vec<Uuid> = session::Entity::find()
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
    end_sessions(transaction, session::Column::Id.is_in(beyond)).await
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
    End(fn(UserId) -> Refreshed),
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

/// Ends the sessions that `which` selects, and returns them. They are locked by rising id, as the log's writers lock those
/// of their authors, so that the two never wait for each other in a circle. Whoever holds one, for as long as it takes to
/// commit a batch or to renew it, is waited for.
///
/// Where it selects by user, the transaction must hold the account's row, as log-in does: no session is added meanwhile.
pub(super) async fn end_sessions(
    transaction: &Transaction,
    which: impl IntoCondition,
) -> DbResult<Vec<SessionId>> {
    let which: Condition = which.into_condition();
    let ended: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(which.clone())
        .order_by_asc(session::Column::Id)
        .lock_exclusive()
        .into_tuple()
        .all(transaction)
        .await?;
    if !ended.is_empty() {
        session::Entity::delete_many().filter(which).exec(transaction).await?;
    }
    Ok(ended.into_iter().map(SessionId).collect())
}

#[cfg(test)]
mod tests;

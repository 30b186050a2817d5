//! Opens, refreshes and ends sessions.
//!
//! A session is alive while its row exists and has not expired. Ending it deletes the row and writes nothing else: whatever
//! depends on a session looks it up. A call does so when it comes in, the log under a lock on the row (`log/authorize.rs`),
//! and open streams once a second. So ending a session costs the same however many rooms its user is in, and waits for no
//! room's lock.

use std::{collections::HashSet, time::Duration};

use grpcchatter_entity::{account, session};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, LockType, Query},
};
use uuid::Uuid;

use super::{DbResult, Store, parameters::Parameters, session_end::end_sessions, transaction::Transaction};
use crate::model::{Account, Error, RefreshDecision, Result, SessionId, StoredSession, Timestamp, UserId};

/// Maximum number of sessions that one log-in ends. If the limit was lowered, the next log-ins end more.
const MAX_ENDED_AT_ONCE: usize = 1_000;

/// A session that is alive.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The account that logged in.
    pub account: Account,
    /// Number of refreshes so far.
    pub generation: i64,
    /// Hash of its current refresh token.
    pub refresh_hash: Vec<u8>,
    /// Time of the last refresh, or of the log-in.
    pub refreshed_at: Timestamp,
}

/// A session to be opened. The caller chooses its id, since the first refresh token contains it.
#[derive(Debug)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Hash of its first refresh token.
    pub refresh_hash: Vec<u8>,
    /// Lifetime unless it is refreshed.
    pub lifetime: Duration,
    /// Maximum number of sessions of its user, this one included: the oldest end. `None` means no limit.
    pub max_sessions: Option<u32>,
}

/// A refresh token that a client presents, and its successor.
#[derive(Debug)]
pub struct RefreshRotation {
    /// The session that it refreshes.
    pub session: SessionId,
    /// The session's generation when the token was issued.
    pub generation: i64,
    /// Hash of the token.
    pub presented: Vec<u8>,
    /// Hash of its successor.
    pub successor: Vec<u8>,
    /// Lifetime of the session from now on.
    pub lifetime: Duration,
}

/// The outcome of presenting a refresh token.
#[derive(Debug)]
pub enum Refreshed {
    /// The session goes on with the successor. A repeated refresh within 30 seconds gets the same answer.
    Alive(Session),
    /// There is no such session: it never existed or has ended.
    Unknown,
    /// The session had expired, or its account cannot log in any more. This user's session has ended now.
    Expired(UserId),
    /// The token was used before, so somebody else may have it. This user's session has ended now.
    Reused(UserId),
}

impl Store {
    /// Opens a session for an account whose password was verified against `verified_hash`, and stores `rehashed` in place
    /// of that hash. Returns the session, and the older sessions that it ended.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] if the account was deleted or disabled, or its password changed; failures of the
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
                // The weakest lock that conflicts with another log-in. It does not conflict with FOR KEY SHARE, which a
                // transaction that enters a room holds, maybe while it waits for the room.
                .lock(LockType::NoKeyUpdate)
                .one(&transaction)
                .await?;
            let account = Account::from(row.ok_or(Error::InvalidCredentials)?);
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
                expires_at: Set((now + new.lifetime).as_micros()),
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

    /// Says whether a session is alive: it has not ended or expired, and its account can log in.
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

    /// Returns the sessions among these that are not alive.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn ended_sessions(&self, sessions: Vec<SessionId>) -> Result<HashSet<SessionId>> {
        let store = self.clone();
        self.on_core("check the sessions of open streams", async move {
            store.ended_sessions_in(store.reader(), sessions).await
        })
        .await
    }

    /// [`Store::ended_sessions`] inside other work of the store.
    pub(super) async fn ended_sessions_in(
        &self,
        connection: &impl ConnectionTrait,
        sessions: impl IntoIterator<Item = SessionId>,
    ) -> DbResult<HashSet<SessionId>> {
        let asked: HashSet<SessionId> = sessions.into_iter().collect();
        let asked: Vec<Uuid> = asked.into_iter().map(|session| session.0).collect();
        let mut ended = HashSet::new();
        for some in asked.chunks(1_000) {
            let mut parameters = Parameters::new(self.backend());
            let asked = parameters.rows(some.to_vec());
            let now = parameters.add(self.clock().now().as_micros());
            // Only the ended ones are returned, which are few.
            let sql = format!(
                "WITH asked (id) AS ({asked}) SELECT asked.id FROM asked WHERE NOT EXISTS \
                 (SELECT 1 FROM sessions s WHERE s.id = asked.id AND s.expires_at > {now})"
            );
            for row in connection.query_all_raw(parameters.statement(sql)).await? {
                ended.insert(SessionId(row.try_get("", "id")?));
            }
        }
        Ok(ended)
    }

    async fn session_exists(&self, session: SessionId) -> Result<bool> {
        let store = self.clone();
        self.reading("find session", async move {
            Ok(session::Entity::find_by_id(session.0).one(store.reader()).await?.is_some())
        })
        .await
    }

    /// Refreshes a session by a refresh token. [`StoredSession::decide_refresh`] makes the decision.
    ///
    /// # Errors
    /// Failures of the database. A token that is refused is no error here.
    pub async fn refresh_session(&self, rotation: RefreshRotation) -> Result<Refreshed> {
        // The token of an ended session must not take a place in the queue of writes.
        if !self.session_exists(rotation.session).await? {
            return Ok(Refreshed::Unknown);
        }
        let store = self.clone();
        self.writing("refresh session", async move {
            let transaction = store.begin().await?;
            let row =
                session::Entity::find_by_id(rotation.session.0).lock_exclusive().one(&transaction).await?;
            let Some(row) = row else { return Ok(Refreshed::Unknown) };
            let owner = account::Entity::find_by_id(row.user_id)
                .filter(account::Column::DisabledAt.is_null())
                .filter(account::Column::DeletedAt.is_null())
                .one(&transaction)
                .await?;
            let (now, user) = (store.clock().now(), UserId(row.user_id));
            let this = session::Column::Id.eq(row.id);
            let stored = StoredSession::from(row);
            let decision = stored.decide_refresh(rotation.generation, &rotation.presented, now);
            let refreshed = match (decision, owner.map(Account::from)) {
                (RefreshDecision::Rotate, Some(account)) => {
                    let (row, session) = rotated(stored.generation, account, rotation, now);
                    session::Entity::update_many().set(row).filter(this).exec(&transaction).await?;
                    Refreshed::Alive(session)
                }
                (RefreshDecision::Repeat, Some(account)) => {
                    // The commit that is repeated here may still wait for the standby. This one waits behind it.
                    let StoredSession { generation, refresh_hash, refreshed_at, .. } = stored;
                    let id = rotation.session;
                    Refreshed::Alive(Session { id, account, generation, refresh_hash, refreshed_at })
                }
                (RefreshDecision::Reused, Some(_)) => {
                    end_sessions(&transaction, this).await?;
                    Refreshed::Reused(user)
                }
                (RefreshDecision::Expired, _) | (_, None) => {
                    end_sessions(&transaction, this).await?;
                    Refreshed::Expired(user)
                }
            };
            transaction.commit().await?;
            Ok(refreshed)
        })
        .await
    }

    /// Ends a session, if it has not ended yet.
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

    /// Deletes the rows of expired sessions, in transactions of at most `limit` sessions.
    ///
    /// # Errors
    /// Failures of the database; what was deleted until then stays deleted.
    pub async fn end_expired_sessions(&self, limit: u64) -> Result<()> {
        let store = self.clone();
        self.on_core_without_timeout("end expired sessions", async move {
            let has_expired = || session::Column::ExpiresAt.lte(store.clock().now().as_micros());
            loop {
                let some: Vec<Uuid> = session::Entity::find()
                    .select_only()
                    .column(session::Column::Id)
                    .filter(has_expired())
                    .limit(limit)
                    .into_tuple()
                    .all(store.reader())
                    .await?;
                let is_last = u64::try_from(some.len()).is_ok_and(|found| found < limit);
                if !some.is_empty() {
                    let _permit = store.admission().acquire_write(None).await?;
                    let transaction = store.begin().await?;
                    end_sessions(&transaction, session::Column::Id.is_in(some).and(has_expired())).await?;
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

/// Ends the sessions of a user beyond the limit, beginning with the one whose last refresh is the oldest.
async fn end_oldest(transaction: &Transaction, user: UserId, new: &NewSession) -> DbResult<Vec<SessionId>> {
    let Some(max_sessions) = new.max_sessions else { return Ok(Vec::new()) };
    let others: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::UserId.eq(user.0))
        .filter(session::Column::Id.ne(new.id.0))
        .order_by_desc(session::Column::RefreshedAt)
        .into_tuple()
        .all(transaction)
        .await?;
    let kept = usize::try_from(max_sessions).unwrap_or(usize::MAX).saturating_sub(1);
    let beyond = others.into_iter().skip(kept).take(MAX_ENDED_AT_ONCE).collect::<Vec<_>>();
    if beyond.is_empty() {
        return Ok(Vec::new());
    }
    end_sessions(transaction, session::Column::Id.is_in(beyond)).await
}

/// Returns the row of a session after a refresh, and the session.
fn rotated(
    generation: i64,
    account: Account,
    rotation: RefreshRotation,
    now: Timestamp,
) -> (session::ActiveModel, Session) {
    let RefreshRotation { session: id, presented, successor, lifetime, .. } = rotation;
    let generation = generation + 1;
    let row = session::ActiveModel {
        refresh_hash: Set(successor.clone()),
        previous_hash: Set(Some(presented)),
        generation: Set(generation),
        refreshed_at: Set(now.as_micros()),
        expires_at: Set((now + lifetime).as_micros()),
        ..Default::default()
    };
    (row, Session { id, account, generation, refresh_hash: successor, refreshed_at: now })
}

impl From<session::Model> for StoredSession {
    fn from(row: session::Model) -> Self {
        Self {
            generation: row.generation,
            refresh_hash: row.refresh_hash,
            previous_hash: row.previous_hash,
            refreshed_at: Timestamp::from_micros(row.refreshed_at),
            expires_at: Timestamp::from_micros(row.expires_at),
        }
    }
}

#[cfg(test)]
mod tests;

//! Resolves commits whose outcome is unknown because the connection was lost or the database did not answer in time.

use std::{pin::pin, time::Duration};

use futures_util::{StreamExt as _, stream};
use grpcchatter_entity::{message, room};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbBackend, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    Statement, sea_query::Expr,
};
use tokio::time::{Instant, sleep, timeout_at};

use super::lane::{InDoubt, Lane};
use crate::{
    faults::{self, Fault},
    model::{LogSlice, RoomId, Seq},
    store::DbResult,
};

/// Time between two lookups.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// How many commits are looked up at once.
const CONCURRENT_LOOKUPS: usize = 4;

/// What is known of a commit that was in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    /// It happened, and its first message has this seq.
    Stored(Seq),
    /// It did not happen, and will not.
    NotStored,
    Unknown,
}

impl InDoubt {
    /// Returns its messages, now that the first is known to have this seq.
    fn slices_from(self, first: Seq) -> Vec<(RoomId, LogSlice)> {
        let mut slices = self.slices;
        let later = first.since(self.seq);
        if later != 0 {
            // Only a single room's seqs are not known before the commit. What is before it was not looked up.
            for (_, slice) in &mut slices {
                slice.before = None;
                slice.messages.iter_mut().for_each(|message| message.seq.0 += later);
            }
        }
        slices
    }
}

impl Lane {
    pub(super) fn is_in_doubt(&self, room: RoomId) -> bool {
        self.in_doubt.iter().any(|commit| commit.slices.iter().any(|(of, _)| *of == room))
    }

    /// Looks up whether each commit happened. What is still unknown at `deadline` stays in doubt until the lane's next batch:
    /// its authors send again.
    pub(super) async fn resolve(&mut self, commits: Vec<InDoubt>, deadline: Instant) -> Vec<Resolved> {
        let mut resolved = vec![Resolved::Unknown; commits.len()];
        loop {
            let unknown: Vec<usize> =
                (0..commits.len()).filter(|&at| resolved[at] == Resolved::Unknown).collect();
            if unknown.is_empty() {
                break;
            }
            // All are tried before one is tried again: another transaction may hold one of the rooms.
            let lookups = stream::iter(unknown).map(async |at| (at, self.outcome(&commits[at]).await));
            let mut lookups = pin!(lookups.buffer_unordered(CONCURRENT_LOOKUPS));
            while let Ok(Some((at, outcome))) = timeout_at(deadline, lookups.next()).await {
                resolved[at] = outcome.unwrap_or(Resolved::Unknown);
            }
            if Instant::now() + RETRY_INTERVAL > deadline {
                break;
            }
            if resolved.contains(&Resolved::Unknown) {
                sleep(RETRY_INTERVAL).await;
            }
        }
        let unknown =
            commits.into_iter().zip(&resolved).filter(|(_, outcome)| **outcome == Resolved::Unknown);
        let before = self.in_doubt.len();
        self.in_doubt.extend(unknown.map(|(commit, _)| commit));
        if self.in_doubt.len() > before {
            tracing::warn!(
                "a commit's outcome is still unknown: its messages are answered as not stored yet"
            );
        }
        resolved
    }

    /// Looks up each commit that earlier batches left in doubt, and returns the messages that turn out to be stored.
    pub(super) async fn resolve_earlier(&mut self, deadline: Instant) -> Vec<(RoomId, LogSlice)> {
        let mut slices = Vec::new();
        for commit in std::mem::take(&mut self.in_doubt) {
            match timeout_at(deadline, self.outcome(&commit)).await {
                Ok(Ok(Resolved::Stored(first))) => slices.extend(commit.slices_from(first)),
                Ok(Ok(Resolved::NotStored)) => {}
                Ok(Ok(Resolved::Unknown) | Err(_)) | Err(_) => self.in_doubt.push(commit),
            }
        }
        slices
    }

    /// Looks up whether a commit happened.
    async fn outcome(&self, commit: &InDoubt) -> DbResult<Resolved> {
        let _permit = self.store.admission().acquire_for_log().await;
        let transaction = self.begin().await?;
        if self.store.backend() == DbBackend::Postgres {
            // A commit that is still on its way holds the room's lock. Without that lock a missing row may still appear.
            let find = |end: &str| {
                let sql = format!("SELECT id FROM rooms WHERE id = $1{end}");
                Statement::from_sql_and_values(DbBackend::Postgres, sql, [commit.room.0.into()])
            };
            if transaction.query_one_raw(find(" FOR UPDATE SKIP LOCKED")).await?.is_none() {
                let is_locked = transaction.query_one_raw(find("")).await?.is_some();
                self.roll_back(transaction).await;
                // A deleted room has no messages, and its authors get ROOM_NOT_FOUND.
                return Ok(if is_locked { Resolved::Unknown } else { Resolved::NotStored });
            }
        }
        let found = message::Entity::find()
            .filter(message::Column::RoomId.eq(commit.room.0))
            .filter(message::Column::Seq.gte(commit.seq.0))
            .filter(message::Column::MessageId.eq(commit.message_id))
            .one(&transaction)
            .await?;
        if found.is_some() && !faults::is(Fault::InDoubtRolledBack) {
            // The message may not be on the standby yet, if its backend was ended while its commit waited for the standby.
            // This commit waits behind that one.
            transaction.commit().await?;
        } else if found.is_none() && commit.may_begin_later {
            self.store.ensure_may_write()?;
            // Raises what the statement compares, so that it stores nothing if it begins after all.
            room::Entity::update_many()
                .col_expr(room::Column::MembersEpoch, Expr::col(room::Column::MembersEpoch).add(1))
                .filter(room::Column::Id.eq(commit.room.0))
                .exec(&transaction)
                .await?;
            transaction.commit().await?;
        } else {
            self.roll_back(transaction).await;
        }
        Ok(found.map_or(Resolved::NotStored, |message| Resolved::Stored(Seq(message.seq))))
    }
}

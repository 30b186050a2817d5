//! Resolves commits whose outcome is unknown because the connection was lost or the database did not answer in time.

use std::time::Duration;

use grpcchatter_entity::message;
use sea_orm::{ConnectionTrait as _, DbBackend, EntityTrait as _, Statement};
use tokio::time::{Instant, sleep, timeout_at};

use super::lane::{InDoubt, Lane};
use crate::{
    faults::{self, Fault},
    model::{LogSlice, RoomId},
    store::DbResult,
};

/// Time between two lookups.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

impl Lane {
    pub(super) fn is_in_doubt(&self, room: RoomId) -> bool {
        self.in_doubt.iter().any(|commit| commit.slices.iter().any(|(of, _)| *of == room))
    }

    /// Returns whether the commit is known to have happened. If its outcome is still unknown at `deadline`, returns false and
    /// keeps the commit in doubt until the lane's next batch: its authors send again.
    pub(super) async fn resolve(&mut self, commit: InDoubt, deadline: Instant) -> bool {
        let lookups = async {
            loop {
                if let Ok(Some(committed)) = self.outcome(&commit).await {
                    return committed;
                }
                sleep(RETRY_INTERVAL).await;
            }
        };
        match timeout_at(deadline, lookups).await {
            Ok(committed) => committed,
            Err(_) => {
                tracing::warn!(
                    "a commit's outcome is still unknown: its messages are answered as not stored yet"
                );
                self.in_doubt.push(commit);
                false
            }
        }
    }

    /// Looks up each commit that earlier batches left in doubt, and returns the messages that turn out to be stored.
    pub(super) async fn resolve_earlier(&mut self, deadline: Instant) -> Vec<(RoomId, LogSlice)> {
        let mut slices = Vec::new();
        for commit in std::mem::take(&mut self.in_doubt) {
            match timeout_at(deadline, self.outcome(&commit)).await {
                Ok(Ok(Some(true))) => slices.extend(commit.slices),
                Ok(Ok(Some(false))) => {}
                Ok(Ok(None) | Err(_)) | Err(_) => self.in_doubt.push(commit),
            }
        }
        slices
    }

    /// Looks up whether a commit happened; `None` while that is not certain.
    async fn outcome(&self, commit: &InDoubt) -> DbResult<Option<bool>> {
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
                return Ok(if is_locked { None } else { Some(false) });
            }
        }
        let row = message::Entity::find_by_id((commit.room.0, commit.seq.0)).one(&transaction).await?;
        let is_stored = row.is_some_and(|row| row.message_id == commit.message_id);
        if is_stored && !faults::is(Fault::InDoubtRolledBack) {
            // The message may not be on the standby yet, if its backend was ended while its commit waited for the standby.
            // This commit waits behind that one.
            transaction.commit().await?;
        } else {
            self.roll_back(transaction).await;
        }
        Ok(Some(is_stored))
    }
}

//! Commits whose outcome is unknown, since the connection was lost or the database did not answer in time.

use std::time::Duration;

use grpcchatter_entity::message;
use sea_orm::{ConnectionTrait as _, DbBackend, EntityTrait as _, Statement};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::Lane;
use crate::{
    faults::{self, Fault},
    model::{Passage, RoomId},
    store::DbResult,
};

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A commit that may have happened. Each message was given its place and its id before, so one of them tells: the
/// row holds that id, or none of the batch was committed.
#[derive(Debug)]
pub(super) struct Doubt {
    room: RoomId,
    seq: i64,
    message_id: Uuid,
    /// What is to be published where it did happen.
    rooms: Vec<(RoomId, Passage)>,
}

impl Doubt {
    /// Returns the doubt about a commit of these messages, where there are any.
    pub(super) fn about(rooms: &[(RoomId, Passage)]) -> Option<Self> {
        let (room, passage) = rooms.first()?;
        let message = passage.messages.first()?;
        Some(Self { room: *room, seq: message.seq, message_id: message.message_id, rooms: rooms.to_vec() })
    }
}

impl Lane {
    pub(super) fn is_in_doubt(&self, room: RoomId) -> bool {
        self.doubts.iter().any(|doubt| doubt.rooms.iter().any(|(of, _)| *of == room))
    }

    /// Says whether a commit happened. Where that is not known by `deadline`, it counts as not: its authors send
    /// again, and the doubt stays until the room's next append.
    pub(super) async fn was_committed(&mut self, doubt: Doubt, deadline: Instant) -> bool {
        let looking = async {
            loop {
                if let Ok(Some(committed)) = self.outcome(&doubt).await {
                    return committed;
                }
                sleep(PAUSE).await;
            }
        };
        match timeout_at(deadline, looking).await {
            Ok(committed) => committed,
            Err(_) => {
                tracing::warn!(
                    "a commit's outcome is still unknown: its messages are answered as not stored yet"
                );
                self.doubts.push(doubt);
                false
            }
        }
    }

    /// Looks once more at what is in doubt, and returns the messages that turn out to be in the log.
    pub(super) async fn settle(&mut self, deadline: Instant) -> Vec<(RoomId, Passage)> {
        let mut rooms = Vec::new();
        for doubt in std::mem::take(&mut self.doubts) {
            match timeout_at(deadline, self.outcome(&doubt)).await {
                Ok(Ok(Some(true))) => rooms.extend(doubt.rooms),
                Ok(Ok(Some(false))) => {}
                Ok(Ok(None) | Err(_)) | Err(_) => self.doubts.push(doubt),
            }
        }
        rooms
    }

    /// Looks up the outcome of a commit; none while it is not certain.
    async fn outcome(&self, doubt: &Doubt) -> DbResult<Option<bool>> {
        let _turn = self.store.turns().log().await;
        let transaction = self.begin().await?;
        if self.store.backend() == DbBackend::Postgres {
            // A commit that is on its way still holds the room: without its lock, "not there" may mean "not yet".
            let find = |end: &str| {
                let sql = format!("SELECT id FROM rooms WHERE id = $1{end}");
                Statement::from_sql_and_values(DbBackend::Postgres, sql, [doubt.room.0.into()])
            };
            if transaction.query_one_raw(find(" FOR UPDATE SKIP LOCKED")).await?.is_none() {
                let is_locked = transaction.query_one_raw(find("")).await?.is_some();
                self.roll_back(transaction).await;
                // A room that is gone has no messages, and its authors will hear so.
                return Ok(if is_locked { None } else { Some(false) });
            }
        }
        let row = message::Entity::find_by_id((doubt.room.0, doubt.seq)).one(&transaction).await?;
        let is_there = row.is_some_and(|row| row.message_id == doubt.message_id);
        if is_there && !faults::is(Fault::DoubtRolledBack) {
            // It may be there and on no standby: its backend was ended while it waited for one. This commit waits behind it.
            transaction.commit().await?;
        } else {
            self.roll_back(transaction).await;
        }
        Ok(Some(is_there))
    }
}

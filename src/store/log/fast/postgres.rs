//! The fast path on PostgreSQL: one statement, committed by itself, on a connection of the lane's own.
//!
//! The statement locks rooms and sessions, and skips rows that another transaction holds: it never waits, so the order of its
//! locks does not matter. A locking query returns the newest row, and not the one of the statement's snapshot, so seq and
//! epochs are current. Nothing is looked up in the older snapshot: if an id was stored before, a unique index refuses the whole
//! statement.

use sea_orm::sqlx::{
    self, AssertSqlSafe, Connection as _, PgConnection, Row as _, SqlSafeStr as _, postgres::PgRow,
};
use tokio::time::{Instant, timeout_at};

use super::{
    batch::{FastBatch, FastOutcome, FastRoom, Head},
    kept_connection::{KeptConnection, Link},
    postgres_columns::{AuthorColumns, DraftColumns, RoomColumns},
};
use crate::{
    faults::{self, Fault},
    model::Seq,
    store::{
        failure::{Refusal, refusal},
        log::draft::Deduplicate,
    },
};

/// Appends the rooms of a batch whose epochs are these and whose authors' sessions live, and returns their heads before it.
const APPEND: &str = include_str!("append.sql");

/// The condition that memberships were cached under the room's epochs.
const SAME_EPOCHS: &str = "rooms.epoch = cached.epoch AND rooms.members_epoch = cached.members_epoch";

/// Appends a batch, by `deadline`.
pub(super) async fn append(
    kept: &mut KeptConnection,
    batch: &FastBatch<'_>,
    deadline: Instant,
) -> FastOutcome {
    let Some(mut link) = kept.take() else { return FastOutcome::NotStored(Deduplicate::ByIndex) };
    if faults::is(Fault::FastPathAcksBeforeCommit) {
        return commit_later(link, batch).await;
    }
    // The answer ends with the commit. A statement that is dropped before its answer leaves the connection unusable.
    let answer = timeout_at(deadline, run(&mut link.connection, batch)).await;
    let error = match answer {
        Ok(Ok(heads)) => {
            kept.put_back(link);
            return FastOutcome::Committed(heads);
        }
        Ok(Err(error)) => match refusal(&error) {
            Refusal::None => error.to_string(),
            refusal => {
                tracing::debug!(%error, "the fast path did not take a batch");
                if faults::is(Fault::RefusalLeavesHalf) {
                    let half = sqlx::query("UPDATE rooms SET last_seq = last_seq + 1");
                    drop(half.execute(&mut link.connection).await);
                }
                // PostgreSQL reports the error before it has rolled back, and until then the lane's own transaction would
                // find its rooms locked. No answer means that something else than PostgreSQL may have reported it.
                if let Ok(Ok(())) = timeout_at(deadline, link.connection.ping()).await {
                    if refusal != Refusal::Stale {
                        kept.put_back(link);
                    }
                    return FastOutcome::NotStored(match refusal {
                        Refusal::Duplicate => Deduplicate::ByLookup,
                        _ => Deduplicate::ByIndex,
                    });
                }
                error.to_string()
            }
        },
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(error, "a commit's outcome is unknown: looking it up");
    kept.require_standby();
    let last_seen = |room: &FastRoom| Some(Head { last_seq: room.last_seq, last_message_id: None });
    FastOutcome::InDoubt(batch.rooms.iter().map(last_seen).collect())
}

/// Commits after the messages were acknowledged, where a mutant does.
async fn commit_later(mut link: Link, batch: &FastBatch<'_>) -> FastOutcome {
    let begun = sqlx::query("BEGIN").execute(&mut link.connection).await.is_ok();
    match run(&mut link.connection, batch).await {
        Ok(heads) if begun => {
            let commit = async move { drop(sqlx::query("COMMIT").execute(&mut link.connection).await) };
            tokio::spawn(faults::later(commit));
            FastOutcome::Committed(heads)
        }
        _ => FastOutcome::NotStored(Deduplicate::ByIndex),
    }
}

/// Runs the statement. Returns the head of each room that it took.
async fn run(connection: &mut PgConnection, batch: &FastBatch<'_>) -> Result<Vec<Option<Head>>, sqlx::Error> {
    let (drafts, rooms, authors) =
        (DraftColumns::of(batch), RoomColumns::of(batch), AuthorColumns::of(batch));
    let sql = if faults::is(Fault::EpochIgnored) {
        AssertSqlSafe(APPEND.replace(SAME_EPOCHS, "TRUE")).into_sql_str()
    } else {
        APPEND.into_sql_str()
    };
    let rows = sqlx::query(sql)
        .bind(drafts.room)
        .bind(drafts.nth)
        .bind(drafts.message_id)
        .bind(drafts.user)
        .bind(drafts.body)
        .bind(drafts.client_message_id)
        .bind(rooms.id)
        .bind(rooms.epoch)
        .bind(rooms.members_epoch)
        .bind(rooms.messages)
        .bind(rooms.newest)
        .bind(authors.room)
        .bind(authors.session)
        .bind(batch.now.as_micros())
        // All rows: the answer to the commit comes after the last.
        .fetch_all(connection)
        .await?;
    let mut heads = vec![None; batch.rooms.len()];
    for row in rows {
        let (id, head) = head_of(&row)?;
        // Sorted by id.
        if let Ok(at) = batch.rooms.binary_search_by_key(&id, |room| room.id.0) {
            heads[at] = Some(head);
        }
    }
    Ok(heads)
}

fn head_of(row: &PgRow) -> Result<(i64, Head), sqlx::Error> {
    let head = Head { last_seq: Seq(row.try_get(1)?), last_message_id: row.try_get(2)? };
    Ok((row.try_get(0)?, head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_compares_the_epochs() {
        // What the mutant that ignores them takes out.
        assert!(APPEND.contains(SAME_EPOCHS));
    }
}

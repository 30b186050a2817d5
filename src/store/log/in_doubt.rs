//! Resolves commits whose outcome is unknown because the connection was lost or the database did not answer in time.

use grpcchatter_entity::{message, room};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, DbBackend, EntityTrait as _, ExprTrait as _,
    QueryFilter as _, QuerySelect as _, sea_query::Expr,
};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::lane::{InDoubt, Lane};
use crate::{
    faults::{self, Fault},
    model::{LogSlice, RoomId, Seq},
    store::{DbResult, parameters::Parameters, transaction::Transaction},
};

/// Time between two lookups.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// How many commits one transaction looks up. More are looked up by several, so that a deadline loses only the last of them.
const MAX_LOOKED_UP: usize = 100;

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

    /// Looks up whether each commit happened. What is still unknown then stays in doubt until the lane's next batch: its authors
    /// send again. That is so at `deadline`, or as soon as another commit is known: a lock on one room holds up no other.
    pub(super) async fn resolve(&mut self, commits: Vec<InDoubt>, deadline: Instant) -> Vec<Resolved> {
        if commits.is_empty() {
            return Vec::new();
        }
        let mut resolved = self.look_up_all(&commits, deadline).await;
        while resolved.iter().all(|outcome| *outcome == Resolved::Unknown)
            && Instant::now() + RETRY_INTERVAL < deadline
        {
            sleep(RETRY_INTERVAL).await;
            resolved = self.look_up_all(&commits, deadline).await;
        }
        let known = commits.into_iter().zip(&resolved);
        let unknown = known.filter(|(_, outcome)| **outcome == Resolved::Unknown).map(|(commit, _)| commit);
        let before = self.in_doubt.len();
        self.in_doubt.extend(unknown);
        if self.in_doubt.len() > before {
            tracing::warn!(
                "a commit's outcome is still unknown: its messages are answered as not stored yet"
            );
        }
        resolved
    }

    /// Looks up the commits that earlier batches left in doubt, and returns the messages that turn out to be stored.
    pub(super) async fn resolve_earlier(&mut self, deadline: Instant) -> Vec<(RoomId, LogSlice)> {
        let resolved = self.look_up_all(&self.in_doubt, deadline).await;
        let mut slices = Vec::new();
        for (commit, resolved) in std::mem::take(&mut self.in_doubt).into_iter().zip(resolved) {
            match resolved {
                Resolved::Stored(first) => slices.extend(commit.slices_from(first)),
                Resolved::NotStored => {}
                Resolved::Unknown => self.in_doubt.push(commit),
            }
        }
        slices
    }

    /// Looks up whether each commit happened.
    async fn look_up_all(&self, commits: &[InDoubt], deadline: Instant) -> Vec<Resolved> {
        let mut resolved = Vec::with_capacity(commits.len());
        for some in commits.chunks(MAX_LOOKED_UP) {
            // What fails one transaction would fail the next.
            let Ok(Ok(outcomes)) = timeout_at(deadline, self.look_up(some)).await else { break };
            resolved.extend(outcomes);
        }
        resolved.resize(commits.len(), Resolved::Unknown);
        resolved
    }

    /// Looks up, in one transaction, whether each commit happened.
    async fn look_up(&self, commits: &[InDoubt]) -> DbResult<Vec<Resolved>> {
        let _permit = self.store.admission().acquire_for_log().await;
        let transaction = self.begin().await?;
        let unlocked = self.lock_rooms(&transaction, commits).await?;
        let stored = find_stored(&transaction, commits).await?;
        let may_write = self.store.ensure_may_write().is_ok();
        let mut missing = Vec::new();
        let outcome = |commit: &InDoubt| match (unlocked.get(&commit.room), stored.get(&commit.message_id)) {
            (Some(outcome), _) => *outcome,
            (None, Some(seq)) => Resolved::Stored(*seq),
            (None, None) if !commit.may_begin_later => Resolved::NotStored,
            (None, None) if !may_write => Resolved::Unknown,
            (None, None) => {
                missing.push(commit.room.0);
                Resolved::NotStored
            }
        };
        let resolved: Vec<_> = commits.iter().map(outcome).collect();
        if !missing.is_empty() {
            // Raises what the statement compares, so that it stores nothing if it begins after all.
            room::Entity::update_many()
                .col_expr(room::Column::MembersEpoch, Expr::col(room::Column::MembersEpoch).add(1))
                .filter(room::Column::Id.is_in(missing.iter().copied()))
                .exec(&transaction)
                .await?;
        }
        let is_stored = resolved.iter().any(|outcome| matches!(outcome, Resolved::Stored(_)));
        if !missing.is_empty() || (is_stored && !faults::is(Fault::InDoubtRolledBack)) {
            // A message may not be on the standby yet, if its backend was ended while its commit waited for the standby.
            // This commit waits behind that one.
            transaction.commit().await?;
        } else {
            self.roll_back(transaction).await;
        }
        Ok(resolved)
    }

    /// Locks the rooms of commits, and returns what is known of those that cannot be locked. A commit that is still on its way
    /// holds the room's lock, and without that lock a missing row may still appear.
    async fn lock_rooms(
        &self,
        transaction: &Transaction,
        commits: &[InDoubt],
    ) -> DbResult<HashMap<RoomId, Resolved>> {
        let mut unlocked = HashMap::new();
        if self.store.backend() == DbBackend::Sqlite {
            return Ok(unlocked);
        }
        let asked: HashSet<RoomId> = commits.iter().map(|commit| commit.room).collect();
        let find = async |rooms: &HashSet<RoomId>, lock: &str| {
            let mut parameters = Parameters::new(self.store.backend());
            let are_these = parameters.is_in("id", rooms.iter().map(|room| room.0).collect());
            let sql = format!("SELECT id FROM rooms WHERE {are_these} ORDER BY id {lock}");
            let rows = transaction.query_all_raw(parameters.statement(sql)).await?;
            rows.iter().map(|row| Ok(RoomId(row.try_get("", "id")?))).collect::<DbResult<HashSet<_>>>()
        };
        let locked = find(&asked, "FOR UPDATE SKIP LOCKED").await?;
        let others: HashSet<RoomId> = asked.difference(&locked).copied().collect();
        if !others.is_empty() {
            let existing = find(&others, "").await?;
            unlocked.extend(others.into_iter().map(|room| {
                // A deleted room has no messages, and its authors get ROOM_NOT_FOUND.
                let exists = existing.contains(&room);
                (room, if exists { Resolved::Unknown } else { Resolved::NotStored })
            }));
        }
        Ok(unlocked)
    }
}

/// Returns the seqs of the commits' messages that are stored, by their ids.
async fn find_stored(transaction: &Transaction, commits: &[InDoubt]) -> DbResult<HashMap<Uuid, Seq>> {
    let of_any = commits.iter().fold(Condition::any(), |any, commit| {
        let of_commit = Condition::all()
            .add(message::Column::RoomId.eq(commit.room.0))
            .add(message::Column::Seq.gte(commit.seq.0))
            .add(message::Column::MessageId.eq(commit.message_id));
        any.add(of_commit)
    });
    let columns = [message::Column::MessageId, message::Column::Seq];
    let query = message::Entity::find().select_only().columns(columns).filter(of_any);
    let found: Vec<(Uuid, i64)> = query.into_tuple().all(transaction).await?;
    Ok(found.into_iter().map(|(id, seq)| (id, Seq(seq))).collect())
}

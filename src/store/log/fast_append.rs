//! Appends what the [fast path](super::fast) takes of a batch.

use std::collections::HashMap;

use tokio::time::{Instant, timeout_at};

use super::{
    draft::{Deduplicate, Draft, Receipt},
    fast::{FastBatch, FastOutcome, FastPath, FastRoom, Head, Readiness},
    in_doubt::Resolved,
    lane::{BatchOutcome, InDoubt, Lane},
};
use crate::{
    faults,
    model::{Error, RoomId},
};

/// What is left of a batch after the fast path.
pub(super) struct Rest {
    /// Indices of the drafts that it did not take.
    pub(super) drafts: Vec<usize>,
    /// How their first transaction finds messages that were stored before.
    pub(super) deduplicate: Deduplicate,
}

impl Lane {
    /// Appends what the fast path takes of a batch.
    pub(super) async fn append_fast(
        &mut self,
        drafts: &[Draft],
        batch: Vec<usize>,
        deadline: Instant,
    ) -> (BatchOutcome, Rest) {
        let mut outcome = BatchOutcome::default();
        let mut rest = Rest { drafts: batch, deduplicate: Deduplicate::ByIndex };
        let Some(fast) = &mut self.fast else { return (outcome, rest) };
        if rest.drafts.is_empty() || faults::concerns_own_transaction() {
            return (outcome, rest);
        }
        match fast.readiness().await {
            Readiness::Ready => {}
            Readiness::NotYet => return (outcome, rest),
            Readiness::Replaced => {
                // The server may be another one, whose log and rights differ.
                self.memberships.clear();
                return (outcome, rest);
            }
        }
        let (rooms, others) = self.rooms_with_cached_memberships(drafts, &rest.drafts);
        if rooms.is_empty() || self.store.ensure_may_write().is_err() {
            return (outcome, rest);
        }
        let batch = FastBatch { drafts, rooms, now: self.store.clock().now() };
        rest.drafts = others;
        let left = match self.run_fast(&batch, deadline).await {
            FastOutcome::Committed(heads) => {
                let mut left = Vec::new();
                for (room, head) in batch.rooms.iter().zip(heads) {
                    match head {
                        Some(head) => self.take(&batch, room, head, &mut outcome),
                        None => left.extend_from_slice(&room.drafts),
                    }
                }
                left
            }
            FastOutcome::NotStored(deduplicate) => {
                rest.deduplicate = deduplicate;
                batch.rooms.iter().flat_map(|room| room.drafts.iter().copied()).collect()
            }
            FastOutcome::InDoubt(heads) => self.resolve_fast(&batch, heads, &mut outcome, deadline).await,
        };
        rest.drafts.extend(left);
        // The order of a room's messages is the order of the batch.
        rest.drafts.sort_unstable();
        (outcome, rest)
    }

    async fn run_fast(&mut self, batch: &FastBatch<'_>, deadline: Instant) -> FastOutcome {
        let not_stored = FastOutcome::NotStored(Deduplicate::ByIndex);
        let Ok(_permit) = timeout_at(deadline, self.store.admission().acquire_for_log()).await else {
            return not_stored;
        };
        match &mut self.fast {
            Some(fast) => fast.append(batch, deadline).await,
            None => not_stored,
        }
    }

    /// Groups drafts by room. Returns the rooms whose authors' memberships are all cached, and the drafts of other rooms.
    fn rooms_with_cached_memberships(
        &self,
        drafts: &[Draft],
        batch: &[usize],
    ) -> (Vec<FastRoom>, Vec<usize>) {
        let mut by_room: HashMap<RoomId, Vec<usize>> = HashMap::new();
        for &index in batch {
            by_room.entry(drafts[index].identity.room).or_default().push(index);
        }
        let (mut rooms, mut others) = (Vec::new(), Vec::new());
        for (id, indices) in by_room {
            let cached = self.memberships.get(&id);
            match cached {
                Some(cached)
                    if indices.iter().all(|&index| self.is_valid_member(&drafts[index].identity)) =>
                {
                    rooms.push(FastRoom {
                        id,
                        epochs: cached.epochs,
                        last_seq: cached.last_seq,
                        drafts: indices,
                    });
                }
                _ => others.extend(indices),
            }
        }
        rooms.sort_unstable_by_key(|room| room.id);
        (rooms, others)
    }

    /// Records the messages of a room that are stored.
    fn take(&mut self, batch: &FastBatch<'_>, room: &FastRoom, head: Head, outcome: &mut BatchOutcome) {
        let slice = batch.slice_of(room, head);
        if let (Some(cached), Some(last)) = (self.memberships.get_mut(&room.id), slice.messages.last()) {
            cached.last_seq = last.seq;
        }
        let receipts = room.drafts.iter().zip(&slice.messages);
        outcome
            .receipts
            .extend(receipts.map(|(&index, message)| {
                (index, Ok(Receipt { message: message.clone(), duplicate: false }))
            }));
        outcome.slices.push((room.id, slice));
    }

    /// Resolves a commit whose outcome is unknown, room by room. Returns the drafts that are not stored.
    async fn resolve_fast(
        &mut self,
        batch: &FastBatch<'_>,
        heads: Vec<Option<Head>>,
        outcome: &mut BatchOutcome,
        deadline: Instant,
    ) -> Vec<usize> {
        let may_begin_later = self.fast.as_ref().is_some_and(FastPath::may_begin_later);
        let (mut left, mut rooms, mut commits) = (Vec::new(), Vec::new(), Vec::new());
        for (room, head) in batch.rooms.iter().zip(heads) {
            match head.and_then(|head| InDoubt::of(&[(room.id, batch.slice_of(room, head))])) {
                Some(commit) => {
                    rooms.push(room);
                    commits.push(InDoubt { may_begin_later, ..commit });
                }
                None => left.extend_from_slice(&room.drafts),
            }
        }
        for (room, resolved) in rooms.into_iter().zip(self.resolve(commits, deadline).await) {
            match resolved {
                Resolved::Stored(first) => {
                    let before = Head { last_seq: first.previous(), last_message_id: None };
                    self.take(batch, room, before, outcome);
                }
                Resolved::NotStored => left.extend_from_slice(&room.drafts),
                Resolved::Unknown => {
                    let refused = |&index: &usize| (index, Err(Error::DatabaseUnavailable));
                    outcome.receipts.extend(room.drafts.iter().map(refused));
                }
            }
        }
        left
    }
}

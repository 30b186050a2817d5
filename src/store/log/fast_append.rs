//! Appends what the [fast path](super::fast) takes of a batch.

use tokio::time::{Instant, timeout_at};

use super::{
    draft::{Deduplicate, Draft, Receipt},
    fast::{FastBatch, FastOutcome, FastPath, FastRoom, Head},
    in_doubt::Resolved,
    lane::{BatchOutcome, InDoubt, Lane},
};
use crate::{faults, model::Error};

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
        let is_ready = match &mut self.fast {
            Some(fast) => !rest.drafts.is_empty() && fast.is_ready().await,
            None => false,
        };
        if !is_ready || faults::concerns_own_transaction() {
            return (outcome, rest);
        }
        self.forget_other_server(self.store.server_number());
        let (rooms, others) = self.split_off_cached(drafts, rest.drafts);
        rest.drafts = others;
        if rooms.is_empty() {
            rest.drafts.sort_unstable();
            return (outcome, rest);
        }
        let (batch, done) = self.run_fast(drafts, rooms, deadline).await;
        let left = match done {
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

    async fn run_fast<'d>(
        &mut self,
        drafts: &'d [Draft],
        rooms: Vec<FastRoom>,
        deadline: Instant,
    ) -> (FastBatch<'d>, FastOutcome) {
        let permit = timeout_at(deadline, self.store.admission().acquire_for_log()).await;
        // Sessions are compared with this time, and the permit may have taken long.
        let batch = FastBatch { drafts, rooms, now: self.store.clock().now() };
        let done = match (&mut self.fast, permit) {
            (Some(fast), Ok(_permit))
                if Instant::now() < deadline && self.store.ensure_may_write().is_ok() =>
            {
                fast.append(&batch, deadline).await
            }
            _ => FastOutcome::NotStored(Deduplicate::ByIndex),
        };
        (batch, done)
    }

    /// Groups drafts by room, by rising id. Returns the rooms whose authors' memberships are all cached, and the drafts of other
    /// rooms.
    fn split_off_cached(&self, drafts: &[Draft], mut batch: Vec<usize>) -> (Vec<FastRoom>, Vec<usize>) {
        // Stable: a room's messages keep their order.
        batch.sort_by_key(|&index| drafts[index].identity.room);
        let (mut rooms, mut others) = (Vec::new(), Vec::new());
        let of_one_room =
            |&left: &usize, &right: &usize| drafts[left].identity.room == drafts[right].identity.room;
        for of_room in batch.chunk_by(of_one_room) {
            let id = drafts[of_room[0]].identity.room;
            match self.memberships.get(&id) {
                Some(cached) if of_room.iter().all(|&index| cached.has(&drafts[index].identity)) => {
                    let (epochs, last_seq) = (cached.epochs, cached.last_seq);
                    rooms.push(FastRoom { id, epochs, last_seq, drafts: of_room.to_vec() });
                }
                _ => others.extend_from_slice(of_room),
            }
        }
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

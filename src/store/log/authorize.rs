//! Decides which authors may write, under locks that last until the commit.
//!
//! A chat token depends on a membership and on a session.
//!
//! *Memberships* are cached while the room's epochs stay the same. Whatever ends a membership raises an epoch in the same
//! transaction. The epochs are read from the room's row under its lock, and a transaction that raises one waits for that lock.
//! A lookup of a commit in doubt raises one too, to invalidate a statement that may still arrive. One thing ends a membership
//! without raising an epoch: deleting an account, which ends all of its sessions.
//!
//! *Sessions* are read again for each batch, since the end of a session writes to no room. Their rows are locked too. What
//! ends a session deletes its row: either before the lock, and the row is not found, or after the batch is committed. So no
//! message gets into the log after its session has ended, whichever process ended it. The lock is the weakest that keeps a
//! row from being deleted (`FOR KEY SHARE`). The batches of several lanes share it, and a log-in does not conflict with it.
//! It waits only for updates of uniquely indexed columns, and otherwise sees the row as of the statement's snapshot. So
//! whatever makes a session end earlier must also change its refresh token, as a refresh does, or delete the row.
//!
//! There is no deadlock. The fast path never waits for a lock. A lane's own transaction locks rooms by rising id, then sessions
//! by rising id, and skips rows that another transaction holds; only the lock-wait lane waits. A transaction that has locked a
//! session locks no room after it: what ends sessions locks the account, then the user's sessions by rising id, and the log
//! locks no account. SQLite has one writer at a time, from `BEGIN IMMEDIATE` on.

use std::{collections::HashSet, sync::Arc};

use sea_orm::DbBackend;

use super::{
    draft::Draft,
    lane::{BatchOutcome, CachedMemberships, Lane, MembershipKey, RowLock},
    locked_rows::LockedRows,
};
use crate::{
    model::{ChatIdentity, Epochs, Error, Seq, UserId},
    store::{DbResult, Failure, members::Memberships, transaction::Transaction},
};

/// Number of memberships that a lane caches; beyond it, the whole cache is dropped.
const MAX_CACHED_MEMBERSHIPS: usize = 100_000;

fn key(identity: &ChatIdentity) -> MembershipKey {
    (identity.user, identity.room_epoch, identity.member_epoch)
}

impl CachedMemberships {
    /// Says whether the author's membership was found valid.
    pub(super) fn has(&self, identity: &ChatIdentity) -> bool {
        self.valid.contains(&key(identity))
    }
}

impl Lane {
    /// Returns the drafts whose authors may write, in order. The others are refused or blocked, which `outcome` records.
    pub(super) async fn authorize(
        &mut self,
        transaction: &Transaction,
        drafts: &[Draft],
        batch: &[usize],
        locked: &LockedRows,
        outcome: &mut BatchOutcome,
    ) -> DbResult<Vec<usize>> {
        self.refresh_memberships(transaction, drafts, batch, locked).await?;
        let may_write = |index: &usize| {
            let identity = &drafts[*index].identity;
            // A cached membership counts only while its room is locked.
            locked.rooms.contains_key(&identity.room)
                && locked.is_locked_alive(identity.session)
                && self.is_valid_member(identity)
        };
        let (allowed, others): (Vec<usize>, Vec<usize>) = batch.iter().partition(|index| may_write(index));
        let blocked = self.blocked(transaction, drafts, &others, locked).await?;
        for index in others {
            if blocked.contains(&index) {
                outcome.blocked.push(index);
                continue;
            }
            // The full check finds the reason. It runs only for drafts that are refused.
            let refused = match self.store.room_access_in(transaction, &drafts[index].identity).await {
                Ok(_) => Error::Internal,
                Err(Failure::Refused(error)) => error,
                Err(failure) => return Err(failure),
            };
            outcome.receipts.push((index, Err(refused)));
        }
        Ok(allowed)
    }

    fn is_valid_member(&self, identity: &ChatIdentity) -> bool {
        self.memberships.get(&identity.room).is_some_and(|cached| cached.has(identity))
    }

    /// Drops the cached memberships of rooms whose epochs have risen, and reads those that are not cached.
    async fn refresh_memberships(
        &mut self,
        transaction: &Transaction,
        drafts: &[Draft],
        batch: &[usize],
        locked: &LockedRows,
    ) -> DbResult<()> {
        if self.memberships.values().map(|cached| 1 + cached.valid.len()).sum::<usize>()
            > MAX_CACHED_MEMBERSHIPS
        {
            self.memberships.clear();
        }
        for (id, head) in &locked.rooms {
            let epochs = Epochs { room: head.epoch, members: head.members_epoch };
            let empty = || CachedMemberships::empty(epochs, Seq(head.last_seq));
            let cached = self.memberships.entry(*id).or_insert_with(empty);
            if cached.epochs != epochs {
                *cached = empty();
            }
            cached.last_seq = Seq(head.last_seq);
        }
        let missing: Vec<Arc<ChatIdentity>> = batch
            .iter()
            .map(|&index| &drafts[index].identity)
            .filter(|identity| locked.rooms.contains_key(&identity.room))
            .filter(|identity| locked.is_locked_alive(identity.session) && !self.is_valid_member(identity))
            .map(Arc::clone)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let members = Memberships::load(transaction, &missing).await?;
        for identity in missing {
            let head = &locked.rooms[&identity.room];
            let facts = members.facts_for(&identity, UserId(head.owner_id), head.epoch);
            if facts.check(&identity).is_ok()
                && let Some(cached) = self.memberships.get_mut(&identity.room)
            {
                cached.valid.insert(key(&identity));
            }
        }
        Ok(())
    }

    /// Returns the drafts whose room and session exist, but one of them is locked by another transaction.
    async fn blocked(
        &self,
        transaction: &Transaction,
        drafts: &[Draft],
        candidates: &[usize],
        locked: &LockedRows,
    ) -> DbResult<HashSet<usize>> {
        let has_both = |rows: &LockedRows, index: usize| {
            let identity = &drafts[index].identity;
            rows.rooms.contains_key(&identity.room) && rows.is_locked_alive(identity.session)
        };
        let missing: Vec<usize> =
            candidates.iter().copied().filter(|&index| !has_both(locked, index)).collect();
        if missing.is_empty() || self.row_lock == RowLock::Wait || self.store.backend() == DbBackend::Sqlite {
            return Ok(HashSet::new());
        }
        let of_missing = missing.iter().map(|&index| &drafts[index]);
        let existing = self.read_rows(transaction, of_missing, RowLock::None).await?;
        Ok(missing.into_iter().filter(|&index| has_both(&existing, index)).collect())
    }
}

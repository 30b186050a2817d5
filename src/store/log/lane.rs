//! One writer of the log, and the state that it keeps between batches.

use std::collections::{HashMap, HashSet};

use sea_orm::{DbBackend, SqliteTransactionMode, TransactionOptions};
use uuid::Uuid;

use super::draft::Receipt;
use crate::{
    model::{Epochs, LogSlice, Result, RoomId, Seq, UserId},
    store::{database::Store, failure::DbResult, pool::Pool, transaction::Transaction},
};

/// The lanes of the log.
pub struct Lanes {
    /// Each one writes its own rooms, and skips rows that another transaction holds.
    pub lanes: Vec<Lane>,
    /// Waits for rows that another transaction holds, up to the connection's `lock_timeout`. SQLite has no other writer
    /// and needs none.
    pub lock_wait: Option<Lane>,
}

/// How rows are read. SQLite has no row locks: there, `BEGIN IMMEDIATE` locks the whole database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowLock {
    /// Without a lock.
    None,
    /// Locked until the transaction ends; rows that another transaction holds are left out.
    SkipLocked,
    /// Locked until the transaction ends, after waiting for other transactions up to `lock_timeout`.
    Wait,
}

/// One writer of the log: a pool of its own, and the memberships that it has checked.
pub struct Lane {
    pub(super) store: Store,
    pub(super) pool: Pool,
    /// How it locks the rooms and sessions of a batch.
    pub(super) row_lock: RowLock,
    /// Memberships that were found valid.
    pub(super) memberships: HashMap<RoomId, CachedMemberships>,
    /// Commits that were still in doubt when their messages had to be answered. Their rooms are written again only once
    /// the outcome is known.
    pub(super) in_doubt: Vec<InDoubt>,
}

impl Lane {
    pub(super) fn new(store: Store, pool: Pool, row_lock: RowLock) -> Self {
        Self { store, pool, row_lock, memberships: HashMap::new(), in_doubt: Vec::new() }
    }

    pub(super) async fn begin(&self) -> DbResult<Transaction> {
        let mode = (self.store.backend() == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        Ok(self.pool.begin(options).await?)
    }

    /// Rolls a transaction back. A transaction that is only dropped is rolled back some time later: until then the next
    /// batch, on the lane's other PostgreSQL connection, would find its own rooms locked and skip them. SQLite has only
    /// one connection, so there the transaction is just dropped.
    pub(super) async fn roll_back(&self, transaction: Transaction) {
        if self.store.backend() == DbBackend::Postgres
            && let Err(error) = transaction.rollback().await
        {
            tracing::debug!(%error, "a batch could not be rolled back: its connection is gone");
        }
    }
}

/// The valid memberships of a room, which hold while its epochs are these.
#[derive(Debug)]
pub(super) struct CachedMemberships {
    pub(super) epochs: Epochs,
    pub(super) valid: HashSet<MembershipKey>,
}

impl CachedMemberships {
    pub(super) fn empty(epochs: Epochs) -> Self {
        Self { epochs, valid: HashSet::new() }
    }
}

/// The part of a chat token that names its membership: the user, the room's epoch and the member's.
pub(super) type MembershipKey = (UserId, i64, i64);

/// A commit that may have happened. Its messages got their seqs and ids before it, so one of them shows the outcome: either
/// the row at its seq has its id, or none of the batch was committed.
#[derive(Debug)]
pub(super) struct InDoubt {
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) message_id: Uuid,
    /// The messages to publish if it did happen.
    pub(super) slices: Vec<(RoomId, LogSlice)>,
}

impl InDoubt {
    /// Returns what is in doubt until these messages are committed; `None` if there are no messages.
    pub(super) fn of(slices: &[(RoomId, LogSlice)]) -> Option<Self> {
        let (room, slice) = slices.first()?;
        let message = slice.messages.first()?;
        Some(Self { room: *room, seq: message.seq, message_id: message.message_id, slices: slices.to_vec() })
    }
}

/// The outcome of one transaction. An index is a draft's index in `drafts`.
#[derive(Debug, Default)]
pub(super) struct BatchOutcome {
    pub(super) receipts: Vec<(usize, Result<Receipt>)>,
    pub(super) slices: Vec<(RoomId, LogSlice)>,
    /// Drafts whose room or session another transaction holds.
    pub(super) blocked: Vec<usize>,
    /// Second copies of a message within the batch. The next transaction finds the first copy stored.
    pub(super) copies: Vec<usize>,
}

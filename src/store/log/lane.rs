//! One writer of the log, and the state that it keeps between batches.

use std::collections::{HashMap, HashSet};

use sea_orm::{DbBackend, SqliteTransactionMode, TransactionOptions};
use uuid::Uuid;

use super::{draft::Receipt, fast::FastPath};
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

/// One writer of the log: its fast path, a pool for the rest, and the memberships that it has checked.
pub struct Lane {
    pub(super) store: Store,
    pub(super) pool: Pool,
    /// How it locks the rooms and sessions of a batch.
    pub(super) row_lock: RowLock,
    /// Takes most batches. None where the lane waits for locks.
    pub(super) fast: Option<FastPath>,
    /// The number of the server on which the memberships were read.
    pub(super) server: u64,
    /// Memberships that were found valid.
    pub(super) memberships: HashMap<RoomId, CachedMemberships>,
    /// Commits that were still in doubt when their messages had to be answered. Their rooms are written again only once
    /// the outcome is known.
    pub(super) in_doubt: Vec<InDoubt>,
}

impl Lane {
    pub(super) fn new(store: Store, pool: Pool, row_lock: RowLock, fast: Option<FastPath>) -> Self {
        let server = store.server_number();
        Self { store, pool, row_lock, fast, server, memberships: HashMap::new(), in_doubt: Vec::new() }
    }

    /// Closes the lane's own connection.
    pub async fn close(self) {
        if let Some(FastPath::Postgres(connection)) = self.fast {
            connection.close().await;
        }
    }

    /// Says whether appending blocks the thread.
    pub fn blocks(&self) -> bool {
        matches!(self.fast, Some(FastPath::Sqlite(_)))
    }

    /// Drops the memberships that were read on another server than this. After a failover a room may have the same epochs and
    /// other members.
    pub(super) fn forget_other_server(&mut self, server: u64) {
        if self.server != server {
            self.memberships.clear();
            self.server = server;
        }
    }

    pub(super) async fn begin(&self) -> DbResult<Transaction> {
        let mode = (self.store.backend() == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        Ok(self.pool.begin(options).await?)
    }

    /// Rolls a transaction back. A transaction that is only dropped is rolled back some time later: until then the lane's
    /// next batch, on another connection, would find its own rooms locked and skip them. On SQLite it is just dropped: until
    /// it is rolled back, the fast path finds the database locked, and the batch waits for the writer's connection.
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
    /// The newest seq of the room that the lane has seen.
    pub(super) last_seq: Seq,
    pub(super) valid: HashSet<MembershipKey>,
}

impl CachedMemberships {
    pub(super) fn empty(epochs: Epochs, last_seq: Seq) -> Self {
        Self { epochs, last_seq, valid: HashSet::new() }
    }
}

/// The part of a chat token that names its membership: the user, the room's epoch and the member's.
pub(super) type MembershipKey = (UserId, i64, i64);

/// A commit that may have happened. Its messages got their ids before it, so one of them shows the outcome: either its room
/// has a message with its id, or none of the batch was committed.
#[derive(Debug)]
pub(super) struct InDoubt {
    pub(super) room: RoomId,
    /// Its first message has this seq, or a later one if the seq was not known before the commit.
    pub(super) seq: Seq,
    pub(super) message_id: Uuid,
    /// Whether the statement that writes it may still be on its way to the server.
    pub(super) may_begin_later: bool,
    /// The messages to publish if it did happen.
    pub(super) slices: Vec<(RoomId, LogSlice)>,
}

impl InDoubt {
    /// Returns what is in doubt until these messages are committed; `None` if there are no messages.
    pub(super) fn of(slices: &[(RoomId, LogSlice)]) -> Option<Self> {
        let (room, slice) = slices.first()?;
        let message = slice.messages.first()?;
        Some(Self {
            room: *room,
            seq: message.seq,
            message_id: message.message_id,
            may_begin_later: false,
            slices: slices.to_vec(),
        })
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

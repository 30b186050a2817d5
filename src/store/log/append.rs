//! Appends a batch: on the fast path, what that leaves in one transaction, and what this leaves undecided in smaller ones. The
//! steps are in [the module's overview](super).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sea_orm::DbBackend;
use tokio::time::{Instant, timeout_at};

use super::{
    draft::{Appended, Deduplicate, Draft, Receipt},
    fast::{FastPath, FastSqlite, KeptConnection},
    in_doubt::Resolved,
    insert::insert,
    lane::{BatchOutcome, InDoubt, Lane, Lanes, RowLock},
};
use crate::{
    faults::{self, Fault},
    model::{Error, LogSlice, Result, RoomId, Seq},
    store::{
        database::Store,
        database_url::DatabaseUrl,
        failure::DbResult,
        postgres::{self, Connector, session::APPENDING},
        setup_error::SetupError,
        transaction::Transaction,
    },
};

/// Number of lanes on PostgreSQL. A room belongs to the lane `room % POSTGRES_LANES`.
const POSTGRES_LANES: usize = 4;

/// Size of the pool that the lanes share on PostgreSQL: a connection for each lane and the lock-wait lane, and one more while
/// another one's transaction is rolled back.
const LANES_POOL: u32 = 6;

impl Store {
    /// Opens the lanes of the log. SQLite has one. PostgreSQL has four and a lock-wait lane, which share a pool for what
    /// their fast paths do not take.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn lanes(&self, url: &DatabaseUrl) -> std::result::Result<Lanes, SetupError> {
        let url = match url {
            DatabaseUrl::Sqlite(path) => {
                let fast = Some(FastPath::Sqlite(FastSqlite::new(path.clone())));
                let lane = Lane::new(self.clone(), self.0.writer.clone(), RowLock::SkipLocked, fast);
                return Ok(Lanes { lanes: vec![lane], lock_wait: None });
            }
            DatabaseUrl::Postgres(url) => url,
        };
        let pool = postgres::pool(url, LANES_POOL, APPENDING, self.pool_generation(), &self.0.server).await?;
        let connector = Connector::new(
            url.clone(),
            APPENDING,
            self.pool_generation().clone(),
            Arc::clone(&self.0.server),
        );
        let mut lanes = Vec::new();
        for _ in 0..POSTGRES_LANES {
            let fast = Some(FastPath::Postgres(
                KeptConnection::open(connector.clone(), Arc::clone(&self.0.lane_connections)).await?,
            ));
            lanes.push(Lane::new(self.clone(), pool.clone(), RowLock::SkipLocked, fast));
        }
        let lock_wait = Lane::new(self.clone(), pool.clone(), RowLock::Wait, None);
        // Lanes are opened once. If they were opened twice, the gauges would show the first pool.
        let _ = self.0.lanes.set(pool);
        Ok(Lanes { lanes, lock_wait: Some(lock_wait) })
    }
}

impl Lane {
    /// Appends a batch. Answers each draft by `deadline`: with its message once that is durable, or with the reason why
    /// it is not stored. Must run on the core runtime, or in a thread that has entered it, and is never dropped. On SQLite a
    /// disk that does not answer delays it beyond `deadline`: the lane's queue answers then.
    pub async fn append(&mut self, drafts: &[Draft], deadline: Instant) -> Appended {
        let mut receipts: Vec<Option<Result<Receipt>>> = vec![None; drafts.len()];
        let mut slices = self.resolve_earlier(deadline).await;
        let (in_doubt, clear): (Vec<usize>, Vec<usize>) =
            (0..drafts.len()).partition(|&index| self.is_in_doubt(drafts[index].identity.room));
        for index in in_doubt {
            receipts[index] = Some(Err(Error::DatabaseUnavailable));
        }
        let (outcome, rest) = self.append_fast(drafts, clear, deadline).await;
        for (index, receipt) in outcome.receipts {
            receipts[index] = Some(receipt);
        }
        slices.extend(outcome.slices);
        let mut blocked = HashSet::new();
        let mut batches = vec![(rest.drafts, rest.deduplicate)];
        while let Some((batch, deduplicate)) = batches.pop().filter(|(batch, _)| !batch.is_empty()) {
            match self.append_batch(drafts, &batch, deduplicate, deadline).await {
                Ok(outcome) => {
                    for (index, receipt) in outcome.receipts {
                        receipts[index] = Some(receipt);
                    }
                    slices.extend(outcome.slices);
                    blocked.extend(outcome.blocked);
                    // Their first copies are stored now.
                    let copies = Some(outcome.copies).filter(|copies| !copies.is_empty());
                    batches.extend(copies.map(|copies| (copies, Deduplicate::ByLookup)));
                }
                Err(failure) => match self.store.report(failure, "append to the log") {
                    Error::Internal if batch.len() > 1 => {
                        let parts = split(drafts, batch).into_iter();
                        batches.extend(parts.map(|part| (part, Deduplicate::ByIndex)));
                    }
                    error => {
                        for index in batch {
                            receipts[index] = Some(Err(error.clone()));
                        }
                    }
                },
            }
        }
        for (index, receipt) in receipts.iter_mut().enumerate() {
            if receipt.is_none() && !blocked.contains(&index) {
                *receipt = Some(Err(Error::Internal));
            }
        }
        Appended { receipts, slices }
    }

    /// Appends a batch in one transaction. If the unique index refuses it, a second transaction looks the ids up first.
    async fn append_batch(
        &mut self,
        drafts: &[Draft],
        batch: &[usize],
        first: Deduplicate,
        deadline: Instant,
    ) -> DbResult<BatchOutcome> {
        let first = if faults::is(Fault::DeduplicationUnderLock) { Deduplicate::ByLookup } else { first };
        match self.run_transaction(drafts, batch, first, deadline).await {
            Err(failure) if failure.is_unique_violation() && first == Deduplicate::ByIndex => {
                self.run_transaction(drafts, batch, Deduplicate::ByLookup, deadline).await
            }
            outcome => outcome,
        }
    }

    /// Stages a batch and commits it. Resolves the commit if its outcome is unknown.
    async fn run_transaction(
        &mut self,
        drafts: &[Draft],
        batch: &[usize],
        deduplicate: Deduplicate,
        deadline: Instant,
    ) -> DbResult<BatchOutcome> {
        let Ok(permit) = timeout_at(deadline, self.store.admission().acquire_for_log()).await else {
            return Err(Error::DatabaseUnavailable.into());
        };
        let staged = timeout_at(deadline, self.stage(drafts, batch, deduplicate)).await;
        let (transaction, outcome, in_doubt) = staged.map_err(|_| Error::DatabaseUnavailable)??;
        let Some(in_doubt) = in_doubt else {
            return self.end_unchanged(transaction, outcome, deadline).await;
        };
        if faults::is(Fault::AckBeforeCommit) || faults::is(Fault::PublishBeforeCommit) {
            tokio::spawn(faults::later(async move { drop(transaction.commit().await) }));
            return Ok(outcome);
        }
        let failure = match timeout_at(deadline, transaction.commit()).await {
            Ok(Ok(())) => return Ok(outcome),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a commit's outcome is unknown: looking it up");
                error.into()
            }
            Err(_) => Error::DatabaseUnavailable.into(),
        };
        if self.store.backend() == DbBackend::Postgres {
            self.store.0.server.standby().require();
        }
        drop(permit);
        match self.resolve(vec![in_doubt], deadline).await[..] {
            [Resolved::Stored(_)] => Ok(outcome),
            _ => Err(failure),
        }
    }

    /// Ends a transaction that has stored nothing.
    ///
    /// It commits if it acknowledges messages that were stored before. Such a message may be visible and not yet on the
    /// standby: that happens if its backend was ended while its commit waited for the standby. This transaction holds the
    /// lock on the room, so its commit waits for the standby behind that one. It is never cancelled: a cancel ends the wait
    /// for the standby, and PostgreSQL reports success.
    async fn end_unchanged(
        &self,
        transaction: Transaction,
        outcome: BatchOutcome,
        deadline: Instant,
    ) -> DbResult<BatchOutcome> {
        let acknowledges = outcome.receipts.iter().any(|(_, receipt)| receipt.is_ok());
        if acknowledges
            && self.store.backend() == DbBackend::Postgres
            && !faults::is(Fault::InDoubtRolledBack)
        {
            timeout_at(deadline, transaction.commit()).await.map_err(|_| Error::DatabaseUnavailable)??;
        } else {
            // Nothing to commit: refusals are answered even if the rollback passes the deadline.
            drop(timeout_at(deadline, self.roll_back(transaction)).await);
        }
        Ok(outcome)
    }

    /// Does everything but the commit. The last value says what is in doubt until the commit is done; `None` if there is
    /// nothing to commit.
    pub(super) async fn stage(
        &mut self,
        drafts: &[Draft],
        batch: &[usize],
        deduplicate: Deduplicate,
    ) -> DbResult<(Transaction, BatchOutcome, Option<InDoubt>)> {
        self.store.ensure_may_write()?;
        // Read before the transaction begins, since the previous server may still answer it.
        let server = self.store.server_number();
        let transaction = self.begin().await?;
        self.forget_other_server(server);
        if self.store.server_number() != server {
            // Another server was met meanwhile, perhaps by this transaction. What it reads is forgotten with the next batch.
            self.memberships.clear();
        }
        match self.write(&transaction, drafts, batch, deduplicate).await {
            Ok(outcome) => {
                let in_doubt = InDoubt::of(&outcome.slices);
                Ok((transaction, outcome, in_doubt))
            }
            Err(failure) => {
                self.roll_back(transaction).await;
                Err(failure)
            }
        }
    }

    /// Locks the rooms and sessions of a batch, decides about each draft, and writes the new messages.
    async fn write(
        &mut self,
        transaction: &Transaction,
        drafts: &[Draft],
        batch: &[usize],
        deduplicate: Deduplicate,
    ) -> DbResult<BatchOutcome> {
        let mut outcome = BatchOutcome::default();
        let of_batch = batch.iter().map(|&index| &drafts[index]);
        let locked = self.read_rows(transaction, of_batch, self.row_lock).await?;
        let mut allowed = self.authorize(transaction, drafts, batch, &locked, &mut outcome).await?;
        if deduplicate == Deduplicate::ByLookup {
            self.answer_duplicates(transaction, drafts, &mut allowed, &mut outcome).await?;
        }
        let now = self.store.clock().now();
        let mut new: HashMap<RoomId, LogSlice> = HashMap::new();
        for index in allowed {
            let draft = &drafts[index];
            let head = &locked.rooms[&draft.identity.room];
            let empty = || LogSlice { before: head.last_message_id, messages: Vec::new() };
            let messages = &mut new.entry(draft.identity.room).or_insert_with(empty).messages;
            let seq = Seq(head.last_seq).next().skip(messages.len());
            let message = draft.message(faults::sequence(head.id, seq), now);
            messages.push(message.clone());
            outcome.receipts.push((index, Ok(Receipt { message, duplicate: false })));
        }
        if !new.is_empty() {
            insert(transaction, &new).await?;
            self.update_heads(transaction, &new, now).await?;
        }
        outcome.slices = new.into_iter().collect();
        Ok(outcome)
    }
}

/// Splits a batch that was refused as a whole: by room, then into halves. So only the message at fault is refused, after
/// as many transactions as halving takes. The later half is first in the result, since batches are taken from the end.
fn split(drafts: &[Draft], mut batch: Vec<usize>) -> Vec<Vec<usize>> {
    let mut rooms: HashMap<RoomId, Vec<usize>> = HashMap::new();
    for &index in &batch {
        rooms.entry(drafts[index].identity.room).or_default().push(index);
    }
    if rooms.len() > 1 {
        return rooms.into_values().collect();
    }
    let later = batch.split_off(batch.len() / 2);
    vec![later, batch]
}

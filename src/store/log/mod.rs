//! The log as it is written: batches of messages, appended in one transaction each.
//!
//! The room's row is locked until the commit, so that the order of seq is the order of commits and every reader
//! sees a prefix. Inserts come first; only where the unique index refuses are the ids looked up, in a new
//! statement, whose snapshot is younger than the lock.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sea_orm::{DbBackend, SqliteTransactionMode, TransactionOptions};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use self::{
    doubt::Doubt,
    rights::Remembered,
    rows::{Read, insert},
};
use super::{
    DatabaseUrl, DbResult, SetupError, Store,
    pool::Pool,
    postgres::{self, session::APPENDING},
    transaction::Transaction,
};
use crate::{
    faults::{self, Fault},
    model::{ChatIdentity, ClientMessageId, Error, Message, MessageBody, Passage, Result, RoomId, Timestamp},
};

#[cfg(test)]
mod acknowledged;
mod doubt;
mod known;
mod rights;
mod rows;
#[cfg(test)]
mod tests;

/// How many rooms are written side by side. A room belongs to the lane `room % LANES`.
const POSTGRES_LANES: usize = 4;

/// A message that asks for its place in the log.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Who says it, and where. Whether they still may is checked under the room's lock.
    pub identity: Arc<ChatIdentity>,
    /// What is said.
    pub body: MessageBody,
    /// What its author calls it.
    pub client_message_id: Option<ClientMessageId>,
    /// Its id in the log, unless its author has sent it before.
    pub message_id: Uuid,
}

/// A message that has its place.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The message as it is in the log.
    pub message: Message,
    /// Whether its id had been stored before.
    pub duplicate: bool,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Appended {
    /// An answer for each draft, in the order of the drafts; none where another transaction holds its room or
    /// its author's session, so that the spare lane must wait for it.
    pub receipts: Vec<Option<Result<Receipt>>>,
    /// The new messages of each room, and what stood before them as it was found under the room's lock: to be published.
    pub rooms: Vec<(RoomId, Passage)>,
}

/// The writers of the log.
pub struct Lanes {
    /// Each writes the rooms that are its own, and passes over what another transaction holds.
    pub lanes: Vec<Lane>,
    /// Waits for what another transaction holds, for as long as a connection's `lock_timeout`. Nobody else writes
    /// to SQLite, so there it is not needed.
    pub spare: Option<Lane>,
}

/// One writer of the log: a connection, and the rights that it has checked.
pub struct Lane {
    store: Store,
    writer: Pool,
    /// Whether it waits for rooms and sessions that another transaction holds.
    waits: bool,
    /// Which memberships were found to stand, while the room's epochs are the same.
    rights: HashMap<RoomId, Remembered>,
    /// Commits whose outcome was still unknown when their messages had to be answered. Their rooms are written again
    /// only once it is known.
    doubts: Vec<Doubt>,
}

/// What one transaction did; indices are places in the batch.
#[derive(Debug, Default)]
struct Done {
    answers: Vec<(usize, Result<Receipt>)>,
    rooms: Vec<(RoomId, Passage)>,
    /// Those whose rooms or sessions another transaction holds.
    busy: Vec<usize>,
    /// Second copies of a message in the batch: the next transaction finds the first.
    again: Vec<usize>,
}

impl Store {
    /// Opens the lanes of the log: one on SQLite, on the one connection that writes; four and a spare one on
    /// PostgreSQL, each on connections of its own.
    ///
    /// # Errors
    /// Where the database cannot be reached.
    pub async fn lanes(&self, url: &DatabaseUrl) -> std::result::Result<Lanes, SetupError> {
        let url = match url {
            DatabaseUrl::Sqlite(_) => {
                return Ok(Lanes { lanes: vec![self.lane(self.0.writer.clone(), false)], spare: None });
            }
            DatabaseUrl::Postgres(url) => url,
        };
        let connect = || postgres::pool(url, 2, APPENDING, self.trust(), &self.0.server);
        let mut lanes = Vec::new();
        for _ in 0..POSTGRES_LANES {
            lanes.push(self.lane(connect().await?, false));
        }
        let spare = self.lane(connect().await?, true);
        let pools = lanes.iter().chain([&spare]).map(|lane| lane.writer.clone()).collect();
        // They are opened once; figures of a second time would be of the first.
        let _ = self.0.lanes.set(pools);
        Ok(Lanes { lanes, spare: Some(spare) })
    }

    fn lane(&self, writer: Pool, waits: bool) -> Lane {
        Lane { store: self.clone(), writer, waits, rights: HashMap::new(), doubts: Vec::new() }
    }
}

impl Lane {
    /// Appends a batch. Each draft is answered by `deadline`: with its place once that is durable, or with why not.
    /// Must run on the core runtime, in a task that is never dropped.
    pub async fn append(&mut self, drafts: &[Draft], deadline: Instant) -> Appended {
        let mut receipts: Vec<Option<Result<Receipt>>> = vec![None; drafts.len()];
        let mut rooms = self.settle(deadline).await;
        let (doubtful, clear): (Vec<usize>, Vec<usize>) =
            (0..drafts.len()).partition(|&place| self.is_in_doubt(drafts[place].identity.room));
        for place in doubtful {
            receipts[place] = Some(Err(Error::DatabaseUnavailable));
        }
        let mut busy = HashSet::new();
        let mut batches = vec![clear];
        while let Some(batch) = batches.pop().filter(|batch| !batch.is_empty()) {
            match self.try_append(drafts, &batch, deadline).await {
                Ok(done) => {
                    for (place, answer) in done.answers {
                        receipts[place] = Some(answer);
                    }
                    rooms.extend(done.rooms);
                    busy.extend(done.busy);
                    batches.extend(Some(done.again).filter(|again| !again.is_empty()));
                }
                Err(failure) => match self.store.report(failure, "append to the log") {
                    Error::Internal if batch.len() > 1 => batches.extend(split(drafts, batch)),
                    error => {
                        for place in batch {
                            receipts[place] = Some(Err(error.clone()));
                        }
                    }
                },
            }
        }
        for (place, receipt) in receipts.iter_mut().enumerate() {
            if receipt.is_none() && !busy.contains(&place) {
                *receipt = Some(Err(Error::Internal));
            }
        }
        Appended { receipts, rooms }
    }

    /// Appends what fits in one transaction; where the unique index refuses, once more, without what is known.
    async fn try_append(&mut self, drafts: &[Draft], batch: &[usize], deadline: Instant) -> DbResult<Done> {
        match self.transaction(drafts, batch, deadline, faults::is(Fault::DeduplicationUnderLock)).await {
            Err(failure) if failure.is_unique_violation() => {
                self.transaction(drafts, batch, deadline, true).await
            }
            done => done,
        }
    }

    async fn transaction(
        &mut self,
        drafts: &[Draft],
        batch: &[usize],
        deadline: Instant,
        known: bool,
    ) -> DbResult<Done> {
        let Ok(turn) = timeout_at(deadline, self.store.turns().log()).await else {
            return Err(Error::DatabaseUnavailable.into());
        };
        let prepared = timeout_at(deadline, self.prepare(drafts, batch, known)).await;
        let (transaction, done, doubt) = prepared.map_err(|_| Error::DatabaseUnavailable)??;
        let Some(doubt) = doubt else {
            return self.end_unchanged(transaction, done, deadline).await;
        };
        if faults::is(Fault::AckBeforeCommit) || faults::is(Fault::PublishBeforeCommit) {
            tokio::spawn(faults::later(async move { drop(transaction.commit().await) }));
            return Ok(done);
        }
        let failure = match timeout_at(deadline, transaction.commit()).await {
            Ok(Ok(())) => return Ok(done),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a commit's outcome is unknown: looking it up");
                error.into()
            }
            Err(_) => Error::DatabaseUnavailable.into(),
        };
        if self.store.backend() == DbBackend::Postgres {
            self.store.0.server.doubt();
        }
        drop(turn);
        if self.was_committed(doubt, deadline).await { Ok(done) } else { Err(failure) }
    }

    /// Ends a transaction that has stored nothing. It commits where it found what is acknowledged: that may be there
    /// and on no standby yet, if its backend was ended while it waited for one. The lock on its room makes this commit wait
    /// behind it. It is never cancelled, which would end the wait, and count as success.
    async fn end_unchanged(&self, transaction: Transaction, done: Done, deadline: Instant) -> DbResult<Done> {
        let acknowledges = done.answers.iter().any(|(_, answer)| answer.is_ok());
        if acknowledges && self.store.backend() == DbBackend::Postgres && !faults::is(Fault::DoubtRolledBack)
        {
            timeout_at(deadline, transaction.commit()).await.map_err(|_| Error::DatabaseUnavailable)??;
        } else {
            // What is refused is answered all the same; a database that is silent by now is the next batch's.
            drop(timeout_at(deadline, self.roll_back(transaction)).await);
        }
        Ok(done)
    }

    /// Does everything but the commit. The last value is what is in doubt until that is done; none where there is
    /// nothing to commit.
    async fn prepare(
        &mut self,
        drafts: &[Draft],
        batch: &[usize],
        known: bool,
    ) -> DbResult<(Transaction, Done, Option<Doubt>)> {
        self.store.may_write()?;
        let transaction = self.begin().await?;
        match self.fill(&transaction, drafts, batch, known).await {
            Ok(done) => {
                let doubt = Doubt::about(&done.rooms);
                Ok((transaction, done, doubt))
            }
            Err(failure) => {
                self.roll_back(transaction).await;
                Err(failure)
            }
        }
    }

    /// Ends a transaction that changes nothing. One that is only dropped is rolled back at some later time, and the next
    /// batch, on this lane's other connection to PostgreSQL, would find its own rooms locked and pass them over. SQLite
    /// has but one connection.
    async fn roll_back(&self, transaction: Transaction) {
        if self.store.backend() == DbBackend::Postgres
            && let Err(error) = transaction.rollback().await
        {
            tracing::debug!(%error, "a batch could not be rolled back: its connection is gone");
        }
    }

    /// Locks the rooms and the sessions, checks who may say what, and writes it down.
    async fn fill(
        &mut self,
        transaction: &Transaction,
        drafts: &[Draft],
        batch: &[usize],
        known: bool,
    ) -> DbResult<Done> {
        let mut done = Done::default();
        let how = if self.waits { Read::LockingAll } else { Read::LockingFree };
        let ground = self.read(transaction, batch.iter().map(|&place| &drafts[place]), how).await?;
        let mut allowed = self.check_rights(transaction, drafts, batch, &ground, &mut done).await?;
        if known {
            self.answer_known(transaction, drafts, &mut allowed, &mut done).await?;
        }
        let now = self.store.clock().now();
        let mut fresh: HashMap<RoomId, Passage> = HashMap::new();
        for place in allowed {
            let draft = &drafts[place];
            let room = &ground.rooms[&draft.identity.room];
            let empty = || Passage { before: room.last_message_id, messages: Vec::new() };
            let messages = &mut fresh.entry(draft.identity.room).or_insert_with(empty).messages;
            let seq = room.last_seq + 1 + i64::try_from(messages.len()).unwrap_or(i64::MAX);
            let message = draft.message(faults::sequence(room.id, seq), now);
            messages.push(message.clone());
            done.answers.push((place, Ok(Receipt { message, duplicate: false })));
        }
        if !fresh.is_empty() {
            insert(transaction, &fresh).await?;
            self.update_heads(transaction, &fresh, now).await?;
        }
        done.rooms = fresh.into_iter().collect();
        Ok(done)
    }

    async fn begin(&self) -> DbResult<Transaction> {
        let mode = (self.store.backend() == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        Ok(self.writer.begin(options).await?)
    }
}

impl Draft {
    fn message(&self, seq: i64, now: Timestamp) -> Message {
        Message {
            seq,
            message_id: self.message_id,
            author: self.identity.user,
            user_name: self.identity.user_name.shared(),
            body: self.body.shared(),
            created_at: now,
            client_message_id: self.client_message_id.clone(),
        }
    }
}

/// Splits a batch that was refused as a whole: by room, then into halves, so that only the guilty message is told, after
/// as many transactions as halving takes. The parts come last first, since they are taken from the end.
fn split(drafts: &[Draft], mut batch: Vec<usize>) -> Vec<Vec<usize>> {
    let mut rooms: HashMap<RoomId, Vec<usize>> = HashMap::new();
    for &place in &batch {
        rooms.entry(drafts[place].identity.room).or_default().push(place);
    }
    if rooms.len() > 1 {
        return rooms.into_values().collect();
    }
    let later = batch.split_off(batch.len() / 2);
    vec![later, batch]
}

//! The log as it is written: batches of messages, appended in one transaction each.
//!
//! The room's row is locked until the commit, so that the order of seq is the order of commits and every reader
//! sees a prefix. Inserts come first; only where the unique index refuses are the ids looked up, in a new
//! statement, whose snapshot is younger than the lock.

use std::{collections::HashMap, sync::Arc, time::Duration};

use grpcchatter_entity::message;
use sea_orm::{
    Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, EntityTrait as _,
    SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use self::{rights::Remembered, rows::insert};
use super::{DatabaseUrl, DbResult, Failure, Store, postgres};
use crate::model::{
    ChatIdentity, ClientMessageId, Error, Line, Message, MessageBody, Result, RoomId, StreamId, Timestamp,
};

mod known;
mod rights;
mod rows;

/// How many rooms are written side by side. A room belongs to the lane `room % LANES`.
const POSTGRES_LANES: usize = 4;

/// How long a message may take in all, from the lane's taking it to its answer.
const DEADLINE: Duration = Duration::from_millis(2_500);

/// A message that asks for its place in the log.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Who says it, and where. Whether they still may is checked under the room's lock.
    pub identity: Arc<ChatIdentity>,
    /// What is said.
    pub body: MessageBody,
    /// What its author calls it.
    pub client_message_id: Option<ClientMessageId>,
    /// The stream that must not get it back.
    pub origin: Option<StreamId>,
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
    /// An answer for each draft, in the order of the drafts.
    pub receipts: Vec<Result<Receipt>>,
    /// The new lines of each room, by rising seq: to be published.
    pub rooms: Vec<(RoomId, Vec<Line>)>,
}

/// One writer of the log: a connection, and the rights that it has checked.
pub struct Lane {
    store: Store,
    writer: DatabaseConnection,
    /// What was found to stand, while the room's epochs are the same.
    rights: HashMap<RoomId, Remembered>,
}

/// What one transaction did; indices are places in the batch.
#[derive(Debug, Default)]
struct Done {
    answers: Vec<(usize, Result<Receipt>)>,
    rooms: Vec<(RoomId, Vec<Line>)>,
    /// Rooms that another transaction holds: their drafts go each alone.
    busy: Vec<usize>,
}

impl Store {
    /// Opens the lanes of the log: one on SQLite, on the one connection that writes; four on PostgreSQL, each on
    /// a connection of its own.
    ///
    /// # Errors
    /// Where the database cannot be reached.
    pub async fn lanes(&self, url: &DatabaseUrl) -> std::result::Result<Vec<Lane>, DbErr> {
        let mut lanes = Vec::new();
        match url {
            DatabaseUrl::Sqlite(_) => lanes.push(self.lane(self.0.writer.clone())),
            DatabaseUrl::Postgres(url) => {
                for _ in 0..POSTGRES_LANES {
                    lanes.push(self.lane(Database::connect(postgres(url, 2)).await?));
                }
            }
        }
        Ok(lanes)
    }

    fn lane(&self, writer: DatabaseConnection) -> Lane {
        Lane { store: self.clone(), writer, rights: HashMap::new() }
    }
}

impl Lane {
    /// Appends a batch. Each draft is answered: with its place once that is durable, or with why not. Must run on
    /// the core runtime, in a task that is never dropped.
    pub async fn append(&mut self, drafts: &[Draft]) -> Appended {
        let deadline = Instant::now() + DEADLINE;
        let mut receipts: Vec<Option<Result<Receipt>>> = vec![None; drafts.len()];
        let mut rooms: Vec<(RoomId, Vec<Line>)> = Vec::new();
        let mut batches = vec![Batch { places: (0..drafts.len()).collect(), wait: false }];
        while let Some(batch) = batches.pop() {
            match self.try_append(drafts, &batch, deadline).await {
                Ok(done) => {
                    for (place, answer) in done.answers {
                        receipts[place] = Some(answer);
                    }
                    rooms.extend(done.rooms);
                    if !done.busy.is_empty() {
                        batches.extend(by_room(drafts, &done.busy));
                    }
                }
                Err(failure) => match failure.report("append to the log") {
                    Error::Internal if batch.places.len() > 1 => batches.extend(batch.split(drafts)),
                    error => {
                        for place in batch.places {
                            receipts[place] = Some(Err(error.clone()));
                        }
                    }
                },
            }
        }
        let receipts = receipts.into_iter().map(|receipt| receipt.unwrap_or(Err(Error::Internal))).collect();
        Appended { receipts, rooms }
    }

    /// Appends what fits in one transaction; where the unique index refuses, once more, without what is known.
    async fn try_append(&mut self, drafts: &[Draft], batch: &Batch, deadline: Instant) -> DbResult<Done> {
        match self.transaction(drafts, batch, deadline, false).await {
            Err(failure) if failure.is_unique_violation() => {
                self.transaction(drafts, batch, deadline, true).await
            }
            done => done,
        }
    }

    async fn transaction(
        &mut self,
        drafts: &[Draft],
        batch: &Batch,
        deadline: Instant,
        known: bool,
    ) -> DbResult<Done> {
        let late = || Failure::Refused(Error::DatabaseUnavailable);
        let prepared = timeout_at(deadline, self.prepare(drafts, batch, known)).await;
        let (transaction, done, doubt) = prepared.map_err(|_| late())??;
        if done.rooms.is_empty() {
            return Ok(done);
        }
        match timeout_at(deadline, transaction.commit()).await {
            Ok(Ok(())) => Ok(done),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a commit's outcome is unknown: looking it up");
                let found = timeout_at(deadline, self.was_committed(doubt)).await;
                if found.unwrap_or(false) { Ok(done) } else { Err(error.into()) }
            }
            Err(_) => Err(late()),
        }
    }

    /// Does everything but the commit. The last value is a message of the batch by which its commit is known.
    async fn prepare(
        &mut self,
        drafts: &[Draft],
        batch: &Batch,
        known: bool,
    ) -> DbResult<(DatabaseTransaction, Done, (RoomId, i64, Uuid))> {
        self.store.may_write()?;
        let mut done = Done::default();
        let transaction = self.begin().await?;
        let locked = self.lock(&transaction, drafts, batch).await?;
        let mut allowed = self.check_rights(&transaction, drafts, batch, &locked, &mut done).await?;
        if known {
            self.answer_known(&transaction, drafts, &mut allowed, &mut done).await?;
        }
        let now = self.store.clock().now();
        let mut fresh: HashMap<RoomId, Vec<Line>> = HashMap::new();
        for place in allowed {
            let draft = &drafts[place];
            let room = &locked[&draft.identity.room];
            let lines = fresh.entry(draft.identity.room).or_default();
            let seq = room.last_seq + 1 + i64::try_from(lines.len()).unwrap_or(i64::MAX);
            let message = self.message(draft, seq, now);
            lines.push(Line { message: message.clone(), origin: draft.origin });
            done.answers.push((place, Ok(Receipt { message, duplicate: false })));
        }
        let mut doubt = (RoomId(0), 0, Uuid::nil());
        if !fresh.is_empty() {
            insert(&transaction, &fresh).await?;
            doubt = self.update_heads(&transaction, &fresh, now).await?;
        }
        done.rooms = fresh.into_iter().collect();
        Ok((transaction, done, doubt))
    }

    fn message(&self, draft: &Draft, seq: i64, now: Timestamp) -> Message {
        Message {
            seq,
            message_id: self.store.clock().uuid(),
            author: draft.identity.user,
            user_name: draft.identity.user_name.shared(),
            body: draft.body.shared(),
            created_at: now,
            client_message_id: draft.client_message_id.clone(),
        }
    }

    async fn begin(&self) -> DbResult<DatabaseTransaction> {
        let mode = (self.store.backend() == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        Ok(self.writer.begin_with_options(options).await?)
    }

    /// Looks up a commit whose outcome is unknown: the row holds the id that was given to it, or it was not
    /// committed.
    async fn was_committed(&self, (room, seq, id): (RoomId, i64, Uuid)) -> bool {
        loop {
            match message::Entity::find_by_id((room.0, seq)).one(&self.writer).await {
                Ok(row) => return row.is_some_and(|row| row.message_id == id),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Some places of the drafts, to be tried in one transaction.
struct Batch {
    places: Vec<usize>,
    /// Whether to wait for the room's lock.
    wait: bool,
}

impl Batch {
    /// Splits a batch that was refused as a whole: by room, then by message, so that only the guilty one is told.
    /// The parts come last first, since they are taken from the end.
    fn split(self, drafts: &[Draft]) -> Vec<Self> {
        let rooms = by_room(drafts, &self.places);
        if rooms.len() > 1 {
            return rooms;
        }
        self.places.into_iter().rev().map(|place| Self { places: vec![place], wait: self.wait }).collect()
    }
}

fn by_room(drafts: &[Draft], places: &[usize]) -> Vec<Batch> {
    let mut rooms: HashMap<RoomId, Vec<usize>> = HashMap::new();
    for &place in places {
        rooms.entry(drafts[place].identity.room).or_default().push(place);
    }
    rooms.into_values().map(|places| Batch { places, wait: true }).collect()
}

//! Reads the log: pages of messages, and the heads of rooms.

use sea_orm::{ConnectionTrait as _, FromQueryResult, QueryResult, Statement, Value};
use uuid::Uuid;

use super::{DbResult, RoomAccess, Store, parameters::Parameters};
use crate::model::{ChatIdentity, ClientMessageId, Epochs, Message, Result, RoomId, Seq, Timestamp, UserId};

/// The head of a room's log.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The room.
    pub room: RoomId,
    /// seq of its newest message; 0 while there is none.
    pub last_seq: Seq,
    /// Id of its newest message.
    pub last_message_id: Option<Uuid>,
    /// seq of the oldest message that is kept.
    pub first_seq: Seq,
    /// The room's epochs.
    pub epochs: Epochs,
}

/// A room's log at one seq.
#[derive(Clone, Copy, Debug)]
pub struct LogPosition {
    /// Id of the message at that seq; `None` if there is no message.
    pub message_id: Option<Uuid>,
    /// seq of the oldest message that is kept.
    pub first_seq: Seq,
}

/// The direction in which a page is read. It takes the messages nearest to its seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Messages before this seq; with [`Seq::MAX`] the newest ones.
    Before(Seq),
    /// Messages after this seq.
    After(Seq),
}

/// A page of the log, by rising seq.
#[derive(Clone, Debug)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether there are more messages in that direction.
    pub more: bool,
    /// seq of the oldest message that is kept; 0 while there is none.
    pub first_seq: Seq,
    /// seq of the newest message; 0 while there is none.
    pub last_seq: Seq,
}

#[derive(FromQueryResult)]
struct MessageRow {
    seq: i64,
    message_id: Uuid,
    user_id: i64,
    user_name: String,
    body: String,
    created_at: i64,
    client_message_id: Option<String>,
}

impl From<MessageRow> for Message {
    fn from(row: MessageRow) -> Self {
        Self {
            seq: Seq(row.seq),
            message_id: row.message_id,
            author: UserId(row.user_id),
            user_name: row.user_name.into(),
            body: row.body.into(),
            created_at: Timestamp::from_micros(row.created_at),
            client_message_id: row.client_message_id.map(ClientMessageId::trusted),
        }
    }
}

#[derive(FromQueryResult)]
struct HeadRow {
    id: i64,
    last_seq: i64,
    last_message_id: Option<Uuid>,
    first_seq: i64,
    epoch: i64,
    members_epoch: i64,
}

impl From<HeadRow> for Head {
    fn from(row: HeadRow) -> Self {
        Self {
            room: RoomId(row.id),
            last_seq: Seq(row.last_seq),
            last_message_id: row.last_message_id,
            first_seq: Seq(row.first_seq),
            epochs: Epochs { room: row.epoch, members: row.members_epoch },
        }
    }
}

/// Bytes of a message in a page beside its body and its author's name: ids, times, and field tags.
const MESSAGE_BYTES: usize = 192;

/// A message of a deleted account keeps its seq and loses its author's name.
const COLUMNS: &str = "m.seq, m.message_id, m.user_id, \
     CASE WHEN a.deleted_at IS NULL THEN a.user_name ELSE '' END AS user_name, m.body, m.created_at, \
     m.client_message_id";
const TABLES: &str = "messages m JOIN accounts a ON a.id = m.user_id";

impl Store {
    /// Reads the messages from `first` to `last`, both included.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn messages(&self, room: RoomId, first: Seq, last: Seq) -> Result<Vec<Message>> {
        let store = self.clone();
        self.on_core("read the log", async move { store.between(room, first, last).await }).await
    }

    /// Like [`Self::messages`], for a stream: waits for admission on the account of its payer.
    ///
    /// # Errors
    /// As [`Self::messages`], and [`Error::Overloaded`](crate::model::Error::Overloaded) if too many wait.
    pub async fn page(&self, room: RoomId, first: Seq, last: Seq) -> Result<Vec<Message>> {
        let store = self.clone();
        self.reading("read the log", async move { store.between(room, first, last).await }).await
    }

    async fn between(&self, room: RoomId, first: Seq, last: Seq) -> DbResult<Vec<Message>> {
        let condition = "m.room_id = $1 AND m.seq BETWEEN $2 AND $3 ORDER BY m.seq";
        self.select(condition, [room.0.into(), first.0.into(), last.0.into()]).await
    }

    /// Reads a page for a member, whose chat token is checked in the same call. The page has up to `size` messages and
    /// `max_bytes` bytes; a message that is larger by itself is a page of its own.
    ///
    /// # Errors
    /// As [`Store::room_access`].
    pub async fn list_messages(
        &self,
        identity: &ChatIdentity,
        direction: Direction,
        size: usize,
        max_bytes: usize,
    ) -> Result<Page> {
        let (store, identity) = (self.clone(), identity.clone());
        self.reading("list messages", async move {
            let RoomAccess { room, first_seq, .. } = store.room_access_in(store.reader(), &identity).await?;
            let (side, order, from) = match direction {
                Direction::Before(seq) => ("<", "DESC", seq),
                Direction::After(seq) => (">", "ASC", seq),
            };
            // The sizes are added up before any body is read: reading the sizes alone is cheap.
            let sql = format!(
                "WITH page AS (SELECT m.seq, octet_length(m.body) + octet_length(a.user_name) + {MESSAGE_BYTES} AS bytes \
                 FROM {TABLES} WHERE m.room_id = $1 AND m.seq {side} $2 ORDER BY m.seq {order} LIMIT $3), \
                 added AS (SELECT seq, bytes, SUM(bytes) OVER (ORDER BY seq {order}) AS total, \
                 COUNT(*) OVER () AS found FROM page) \
                 SELECT {COLUMNS}, added.found FROM {TABLES} JOIN added ON added.seq = m.seq WHERE m.room_id = $1 \
                 AND (added.total <= $4 OR added.total = added.bytes) ORDER BY m.seq {order}"
            );
            let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
            let max_bytes = i64::try_from(max_bytes).unwrap_or(i64::MAX);
            let values = [room.id.0.into(), from.0.into(), limit.into(), max_bytes.into()];
            let statement = Statement::from_sql_and_values(store.backend(), sql, values);
            let rows = store.reader().query_all_raw(statement).await?;
            let found: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "found"))?;
            let mut messages = Vec::with_capacity(rows.len());
            for row in rows.iter().take(size) {
                messages.push(Message::from(MessageRow::from_query_result(row, "")?));
            }
            let more = found > i64::try_from(messages.len()).unwrap_or(i64::MAX);
            if matches!(direction, Direction::Before(_)) {
                messages.reverse();
            }
            // A message stored between the two statements is part of the log already.
            let last_seq = messages.last().map_or(room.last_seq, |message| message.seq.max(room.last_seq));
            let first_seq = if last_seq < first_seq { Seq::ZERO } else { first_seq };
            Ok(Page { messages, more, first_seq, last_seq })
        })
        .await
    }

    /// Returns the id of the message at `seq`, for a resume point.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn message_id_at(&self, room: RoomId, seq: Seq) -> Result<Option<Uuid>> {
        let store = self.clone();
        self.reading("check a resume point", async move {
            let condition = "m.room_id = $1 AND m.seq = $2";
            let found: Vec<Message> = store.select(condition, [room.0.into(), seq.0.into()]).await?;
            Ok(found.first().map(|message| message.message_id))
        })
        .await
    }

    /// Reads a room's log at one seq; `None` if the room was deleted.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn log_position(&self, room: RoomId, seq: Seq) -> Result<Option<LogPosition>> {
        let store = self.clone();
        self.reading("compare the log with what clients have", async move {
            let sql = "SELECT r.first_seq, m.message_id FROM rooms r \
                       LEFT JOIN messages m ON m.room_id = r.id AND m.seq = $2 WHERE r.id = $1";
            let statement =
                Statement::from_sql_and_values(store.backend(), sql, [room.0.into(), seq.0.into()]);
            let row = store.reader().query_one_raw(statement).await?;
            let position = |row: QueryResult| -> DbResult<LogPosition> {
                let first_seq = Seq(row.try_get("", "first_seq")?);
                Ok(LogPosition { message_id: row.try_get("", "message_id")?, first_seq })
            };
            row.map(position).transpose()
        })
        .await
    }

    /// Reads the heads of these rooms. A room without a head was deleted.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn heads(&self, rooms: Vec<RoomId>) -> Result<Vec<Head>> {
        let store = self.clone();
        self.on_core("poll the rooms", async move {
            let mut heads = Vec::with_capacity(rooms.len());
            for some in rooms.chunks(1_000) {
                let mut parameters = Parameters::new(store.backend());
                let is_one = parameters.is_in("id", some.iter().map(|room| room.0).collect());
                let sql = format!(
                    "SELECT id, last_seq, last_message_id, first_seq, epoch, members_epoch FROM rooms WHERE {is_one}"
                );
                let found = HeadRow::find_by_statement(parameters.statement(sql)).all(store.reader()).await?;
                heads.extend(found.into_iter().map(Head::from));
            }
            Ok(heads)
        })
        .await
    }

    async fn select<const N: usize>(&self, condition: &str, values: [Value; N]) -> DbResult<Vec<Message>> {
        let statement = Statement::from_sql_and_values(
            self.backend(),
            format!("SELECT {COLUMNS} FROM {TABLES} WHERE {condition}"),
            values,
        );
        let rows = MessageRow::find_by_statement(statement).all(self.reader()).await?;
        Ok(rows.into_iter().map(Message::from).collect())
    }
}

//! The history of a run: what every client sent and saw, in order.

/// A message as the log or a stream shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its seq.
    pub seq: i64,
    /// The server's id.
    pub message_id: String,
    /// The author's id (`client_message_id`).
    pub id: String,
    /// Its body.
    pub body: String,
}

/// Where a stream begins, as client and server agreed when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next message; the log's newest seq, where the server gave it.
    Now(Option<i64>),
    /// After a message that the client has.
    After {
        /// The message's seq; 0 is before the first.
        seq: i64,
        /// The message's id.
        message_id: String,
    },
    /// The client asked to resume after a message, and the server answered `reset`: it has no such message.
    Reset {
        /// The seq that the client gave.
        seq: i64,
        /// The message id that the client gave.
        message_id: String,
        /// The log's newest seq, where the server gave it; the stream begins after it.
        last_seq: Option<i64>,
    },
}

/// Something that a client did or saw. An action is recorded before the client takes it, an observation after the client
/// made it. So no event happened after one that is recorded later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message is sent, for the first time or again.
    Sent {
        /// The room's number.
        room: usize,
        /// The author's id.
        id: String,
        /// Its body.
        body: String,
        /// The number of the Chat stream that carries it; none for SendMessage.
        chat: Option<usize>,
    },
    /// A message is acknowledged.
    Acknowledged {
        /// The author's id.
        id: String,
        /// Its seq.
        seq: i64,
        /// The number of the Chat stream that carried the answer; none for SendMessage.
        chat: Option<usize>,
    },
    /// A message was refused, or its outcome is unknown.
    Failed {
        /// The author's id.
        id: String,
    },
    /// A reader's stream is open. A reader that reconnects opens another one.
    Opened {
        /// The reader's number.
        reader: usize,
        /// The room's number.
        room: usize,
        /// Where it begins.
        start: Start,
        /// The prefix of the ids that the reader sends on this stream itself. These messages may arrive out of order: the
        /// answer to a repeated id has the seq of the stored message.
        author: Option<String>,
    },
    /// A reader received a message.
    Received {
        /// The reader's number.
        reader: usize,
        /// The message.
        message: Entry,
    },
    /// A reader's stream ended with LOG_RESET.
    LogReset {
        /// The reader's number.
        reader: usize,
    },
    /// A reader left for good, and need not see the newest messages.
    Left {
        /// The reader's number.
        reader: usize,
    },
}

/// All events, and the rooms' logs as they were read after every fault had healed.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The events in order.
    pub events: Vec<Event>,
    /// Each room's log, by the room's number.
    pub logs: Vec<Vec<Entry>>,
    /// The first seq of each room's log, by the room's number, where RETENTION has removed older messages. The log of a
    /// room without one begins at seq 1.
    pub firsts: Vec<i64>,
}

impl History {
    /// Returns the first seq of a room's log.
    pub(crate) fn first_seq(&self, room: usize) -> i64 {
        self.firsts.get(room).copied().unwrap_or(1)
    }
}

//! What everybody sent and saw, in the order in which it happened.

/// A message as the log, or a stream, tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub seq: i64,
    /// The server's name for it.
    pub message_id: String,
    /// The author's name for it.
    pub id: String,
    /// What it says.
    pub body: String,
}

/// Where a stream begins, as client and server agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is said from now on; the log's newest seq, where the server told it.
    Now(Option<i64>),
    /// After a message that the client has.
    After {
        /// Its place; 0 is before the first.
        seq: i64,
        /// Its name.
        message_id: String,
    },
    /// The client asked for what comes after a message, and was told that this cannot be.
    Reset {
        /// The place that it asked for.
        seq: i64,
        /// The name that it gave.
        message_id: String,
        /// The log's newest seq, where the server told it: the stream goes on behind it.
        last_seq: Option<i64>,
    },
}

/// Something that a client did or saw. What a client does is recorded before it does it, and what it sees after it
/// saw it: so an event that stands before another did not happen after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message is sent, for the first time or again.
    Sent {
        /// The room's number.
        room: usize,
        /// The author's name for it.
        id: String,
        /// What it says.
        body: String,
        /// The Chat stream that carries it; each stream has a number of its own. None for a call of its own.
        chat: Option<usize>,
    },
    /// A message is acknowledged.
    Acknowledged {
        /// The author's name for it.
        id: String,
        /// Its place.
        seq: i64,
        /// The Chat stream that told it.
        chat: Option<usize>,
    },
    /// A message was refused, or nobody knows what became of it.
    Failed {
        /// The author's name for it.
        id: String,
    },
    /// A reader's stream is open. A reader that comes back opens another one.
    Opened {
        /// The reader's number.
        reader: usize,
        /// The room's number.
        room: usize,
        /// Where it begins.
        start: Start,
        /// The prefix of the ids of those messages that the reader itself says on this stream. They may be told out
        /// of band: a repeated id is answered with the place that it has.
        author: Option<String>,
    },
    /// A reader was told a message.
    Received {
        /// The reader's number.
        reader: usize,
        /// The message.
        message: Entry,
    },
    /// A reader's stream was ended because the log was reset.
    LogReset {
        /// The reader's number.
        reader: usize,
    },
    /// A reader has gone for good, and need not have seen the end.
    Left {
        /// The reader's number.
        reader: usize,
    },
}

/// All that happened, and the logs of the rooms as they were read after everything had healed.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What happened.
    pub events: Vec<Event>,
    /// Each room's log, by the room's number.
    pub logs: Vec<Vec<Entry>>,
    /// The place at which each room's log begins, where RETENTION has removed what stood before. A room that is not named
    /// has its log from its first message on.
    pub firsts: Vec<i64>,
}

impl History {
    /// Returns the place at which a room's log begins.
    pub(crate) fn first(&self, room: usize) -> i64 {
        self.firsts.get(room).copied().unwrap_or(1)
    }
}

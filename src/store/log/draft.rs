//! The messages of a batch before and after they are stored.

use std::sync::Arc;

use uuid::Uuid;

use crate::model::{
    ChatIdentity, ClientMessageId, LogSlice, Message, MessageBody, Result, RoomId, Seq, Timestamp,
};

/// A message that is not stored yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The author and the room. Whether the author may still write is checked under the room's lock.
    pub identity: Arc<ChatIdentity>,
    /// The text.
    pub body: MessageBody,
    /// The id by which the author repeats it.
    pub client_message_id: Option<ClientMessageId>,
    /// Its id in the log, unless it was stored before.
    pub message_id: Uuid,
}

/// A message that is stored.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The message as it is in the log.
    pub message: Message,
    /// Whether it was stored before.
    pub duplicate: bool,
}

/// The outcome of a batch.
#[derive(Debug, Default)]
pub struct Appended {
    /// A receipt for each draft, in the order of the drafts. `None` if another transaction holds the room or the author's
    /// session: the lock-wait lane must append that draft.
    pub receipts: Vec<Option<Result<Receipt>>>,
    /// The new messages of each room, to be published, after the message that was the room's newest under its lock.
    pub slices: Vec<(RoomId, LogSlice)>,
}

/// How a transaction finds messages that were stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::log) enum Deduplicate {
    /// By the unique index, which refuses the whole transaction.
    ByIndex,
    /// By looking the ids up before anything is inserted.
    ByLookup,
}

impl Draft {
    pub(super) fn message(&self, seq: Seq, now: Timestamp) -> Message {
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

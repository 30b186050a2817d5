//! Messages, slices of a room's log, and resume points.

use std::{fmt, sync::Arc};

use uuid::Uuid;

use super::{ClientMessageId, Seq, Timestamp, UserId};

/// Identifies one open stream of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A message in a room's log. Its `Debug` hides the body.
#[derive(Clone)]
pub struct Message {
    /// Its position in the room's log.
    pub seq: Seq,
    /// A UUIDv7 that the server generated.
    pub message_id: Uuid,
    /// Its author.
    pub author: UserId,
    /// Its author's name; empty once the account is deleted.
    pub user_name: Arc<str>,
    /// Its text.
    pub body: Arc<str>,
    /// When the server stored it.
    pub created_at: Timestamp,
    /// The id that its author gave it.
    pub client_message_id: Option<ClientMessageId>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("seq", &self.seq)
            .field("message_id", &self.message_id)
            .field("author", &self.author)
            .finish_non_exhaustive()
    }
}

/// Messages of a room's log, with the id of the message before them.
#[derive(Clone, Debug)]
pub struct LogSlice {
    /// Id of the message before the first. None if the log begins there, or if the id was not looked up.
    pub before: Option<Uuid>,
    /// The messages, by rising seq.
    pub messages: Vec<Message>,
}

/// The last message that a client has. Both fields are compared with the log, which shows if the log was restored from a
/// backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// Its seq. 0 is before the first message.
    pub seq: Seq,
    /// Its id. None at seq 0.
    pub message_id: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MessageBody, Password, RoomPassword};

    #[test]
    fn debug_output_holds_no_secrets() {
        let body = MessageBody::parse("cAnary".to_owned(), 100, None).unwrap();
        let message = Message {
            seq: Seq(1),
            message_id: Uuid::nil(),
            author: UserId(1),
            user_name: "walker1".into(),
            body: body.shared(),
            created_at: Timestamp::from_seconds(1),
            client_message_id: None,
        };
        let password = Password::parse("cAnary-Passw0rd!").unwrap();
        let room = RoomPassword::parse("cAnary".to_owned()).unwrap();
        let shown = format!("{body:?} {message:?} {password:?} {room:?}");
        assert!(!shown.contains("cAnary"), "{shown}");
    }
}

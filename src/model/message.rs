use std::{fmt, sync::Arc};

use uuid::Uuid;

use super::{ClientMessageId, Timestamp, UserId};

/// Identifies one open stream of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A message in a room's log. Its `Debug` hides what was said.
#[derive(Clone)]
pub struct Message {
    /// Place in the room's log: 1, 2, 3 … without a gap.
    pub seq: i64,
    /// UUIDv7 given by the server.
    pub message_id: Uuid,
    /// Its author.
    pub author: UserId,
    /// Its author's name; empty once the account is deleted.
    pub user_name: Arc<str>,
    /// What was said.
    pub body: Arc<str>,
    /// When the server stored it.
    pub created_at: Timestamp,
    /// What its author called it.
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

/// Messages that follow one another in a room's log.
#[derive(Clone, Debug)]
pub struct Passage {
    /// Id of the message before the first; none where the log begins there, and where nobody has looked.
    pub before: Option<Uuid>,
    /// The messages, by rising seq.
    pub messages: Vec<Message>,
}

/// The last message that a client has. Both fields are checked, so that a log that was restored from a
/// backup is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// Its place; 0 is before the first message.
    pub seq: i64,
    /// Its id; none at place 0.
    pub message_id: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MessageBody, Password, RoomPassword};

    #[test]
    fn what_is_secret_is_not_shown_by_debug() {
        let body = MessageBody::parse("cAnary".to_owned(), 100, None).unwrap();
        let message = Message {
            seq: 1,
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

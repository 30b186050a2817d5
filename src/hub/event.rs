//! What a stream sends besides messages, and how both become bytes.

use std::time::Duration;

use bytes::BytesMut;

use super::presence::{Change, Person};
use crate::model::{Error, Message, Room, Seq};

/// The two kinds of stream. Each has its own frames for the same messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Sends events, one of which is a message.
    Subscribe,
    /// Sends messages, heartbeats and rejections.
    Chat,
}

/// What a stream sends besides messages.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first event of a subscription.
    Subscribed {
        /// The room.
        room: Room,
        /// Whether the stream could not continue from its resume point.
        reset: bool,
    },
    /// Every message that was stored before the call has been sent. With the seq of the last of them.
    CaughtUp(Seq),
    /// Who is present, and how many people that is in all.
    Presence(Vec<Person>, usize),
    /// Who joined and who left.
    PresenceChange(Change),
    /// Nothing else was sent for a while. With the seq of the newest message.
    Heartbeat(StreamKind, Seq),
    /// The room has a new name.
    RoomUpdated(Room),
    /// The server is shutting down. With the time after which the client should reconnect.
    Draining(Duration),
    /// A message of a chat was rejected.
    Rejected {
        /// The id that its author gave it.
        client_message_id: String,
        /// Why it was rejected.
        error: Error,
    },
}

/// How messages and events become bytes. The gateway supplies it, since the hub does not know the wire.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    /// Encodes a message for a kind of stream.
    pub message: fn(StreamKind, &Message, &mut BytesMut),
    /// Encodes an event.
    pub event: fn(&Event, &mut BytesMut),
}

//! What passes between the screen and the worker: effects out, updates in.

use std::time::Duration;

use grpcchatter_client::{Event, Page, RoomInfo};

/// Work for the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Join {
        code: String,
        password: String,
    },
    JoinByInvitation {
        token: String,
    },
    Create {
        name: String,
        password: String,
    },
    Send {
        code: String,
        id: String,
        body: String,
    },
    LoadOlder {
        code: String,
        before: i64,
    },
    Invite {
        code: String,
        ttl: Option<Duration>,
    },
    Rename {
        code: String,
        name: String,
    },
    Remove {
        code: String,
        user: String,
    },
    Ban {
        code: String,
        user: String,
    },
    Unban {
        code: String,
        user: String,
    },
    Leave {
        code: String,
    },
    Delete {
        code: String,
    },
    /// Copies a text to the user's clipboard.
    Copy {
        text: String,
    },
}

/// A result or event from the worker. A `generation` counts joins: what was in flight when a room is joined again
/// carries the old generation and is dropped.
#[derive(Debug)]
pub(crate) enum Update {
    Rooms(Vec<RoomInfo>),
    Joined {
        info: RoomInfo,
        generation: u64,
    },
    JoinFailed {
        code: String,
        why: String,
        remedy: Remedy,
    },
    RoomEvent {
        code: String,
        generation: u64,
        event: Event,
    },
    /// A message is in the room's log.
    Sent {
        code: String,
        id: String,
        seq: i64,
    },
    SendFailed {
        code: String,
        id: String,
        why: String,
    },
    Older {
        code: String,
        generation: u64,
        page: Page,
    },
    OlderFailed {
        code: String,
        why: String,
    },
    /// The user has left the room, or it was deleted.
    RoomGone {
        code: String,
    },
    Invitation {
        code: String,
        link: String,
        end: String,
    },
    /// The connection has been back long enough for other users to have reconnected too.
    PresenceSettled {
        code: String,
        generation: u64,
    },
    /// The session has ended.
    LoggedOut,
    Info(String),
    Error(String),
}

/// How the user can get back into a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Show the room: it was not joined yet, or the attempt may succeed later.
    Show,
    /// Enter its password; `wrong` if the one given was not accepted.
    Password { wrong: bool },
    /// Join again by command: the user left or was removed, so the program does not do it unasked.
    Rejoin,
}

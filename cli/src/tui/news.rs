//! What goes between the screen and the worker: effects out, news in.

use std::time::Duration;

use grpcchatter_client::{Event, Page, RoomInfo};

/// Something for the worker to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Enter {
        code: String,
        password: String,
    },
    EnterByInvitation {
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
    Older {
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
        ban: bool,
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
    /// Puts a text into the clipboard of whoever sits before the terminal.
    Copy {
        text: String,
    },
}

/// What the worker has to tell. An `entry` counts how often rooms were entered: what was under way when a room is
/// entered again belongs to the entry before, and is not believed.
#[derive(Debug)]
pub(crate) enum News {
    Rooms(Vec<RoomInfo>),
    Entered {
        info: RoomInfo,
        entry: u64,
    },
    NotEntered {
        code: String,
        why: String,
        cure: Cure,
    },
    Happened {
        code: String,
        entry: u64,
        event: Event,
    },
    /// A message is in the room's log.
    Sent {
        code: String,
        id: String,
        seq: i64,
    },
    NotSent {
        code: String,
        id: String,
        why: String,
    },
    Older {
        code: String,
        entry: u64,
        page: Page,
    },
    NotOlder {
        code: String,
        why: String,
    },
    /// The room is not the person's any more.
    Gone {
        code: String,
    },
    Invitation {
        code: String,
        link: String,
        end: String,
    },
    /// The connection of a room has been back for so long that the others had the time to come back too.
    Settled {
        code: String,
        entry: u64,
    },
    /// The session has ended.
    LoggedOut,
    Told(String),
    Failed(String),
}

/// What helps a person into a room that they are not in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cure {
    /// Looking at it: it was not tried yet, or could not be entered for the moment.
    Look,
    /// Its password; whether one was given, and was not it.
    Password { wrong: bool },
    /// Nothing that this program may do unasked: they left, or were put out.
    Join,
}

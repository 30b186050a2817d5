//! What a room tells its readers.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream::BoxStream};

use crate::{Error, Kind, Message, Reason, RoomInfo, User};

/// Something that happened in a room, or to the connection to it.
///
/// ```
/// use grpcchatter_client::Event;
///
/// fn line(event: &Event) -> Option<String> {
///     match event {
///         Event::Message(message) => Some(format!("{}: {}", message.user_name, message.body)),
///         Event::Came(user) => Some(format!("{} came", user.name)),
///         Event::Left(name) => Some(format!("{name} left")),
///         Event::Closed(why) => Some(why.to_string()),
///         _ => None,
///     }
/// }
/// # assert_eq!(line(&Event::Resumed), None);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Something was said.
    Message(Message),
    /// All that had been said before the stream opened has been told; what follows is live.
    CaughtUp {
        /// The place of the newest message then.
        last_seq: i64,
    },
    /// Who is present, in place of all that was told before.
    Present {
        /// Everybody, the caller included; at most 200.
        users: Vec<User>,
        /// How many are present, which may be more.
        count: usize,
    },
    /// Somebody came.
    Came(User),
    /// Somebody left.
    Left(String),
    /// How many are present now, after [`Event::Came`] and [`Event::Left`], or alone where more than 200 are.
    PresentCount(usize),
    /// The room has another name.
    RoomUpdated(RoomInfo),
    /// The connection is lost; the next attempt follows by itself.
    Reconnecting {
        /// When.
        delay: Duration,
        /// Why it was lost, or why the last attempt failed.
        cause: Error,
    },
    /// The connection is back, and nothing was missed.
    Resumed,
    /// The log cannot be continued from where this stream was, as after the restore of a backup. What was
    /// read is void: read it again with [`Room::newest_messages`](crate::Room::newest_messages). This stream
    /// goes on after `last_seq`.
    Reset {
        /// The place of the newest message of the log as it is now.
        last_seq: i64,
    },
    /// The stream has ended; nothing follows.
    Closed(CloseReason),
}

/// Why a stream of events has ended for good.
///
/// ```
/// use grpcchatter_client::CloseReason;
///
/// fn may_join_again(why: &CloseReason) -> bool {
///     matches!(why, CloseReason::Removed | CloseReason::PasswordChanged)
/// }
/// # assert!(!may_join_again(&CloseReason::Banned));
/// assert_eq!(CloseReason::Banned.to_string(), "you were banned from this room");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CloseReason {
    /// `disconnect` or [`Room::leave`](crate::Room::leave) was called.
    Disconnected,
    /// The user left on another device, or was put out of the room.
    Removed,
    /// The user was banned from the room.
    Banned,
    /// The room was deleted.
    RoomDeleted,
    /// The room has another password: join again with it.
    PasswordChanged,
    /// The session has ended: log in again.
    LoggedOut,
    /// Anything else that does not heal by itself.
    Failed(Error),
}

impl CloseReason {
    /// The reason of the refusal that it came from.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Removed => Some(&Reason::NotAMember),
            Self::Banned => Some(&Reason::Banned),
            Self::RoomDeleted => Some(&Reason::RoomNotFound),
            Self::PasswordChanged => Some(&Reason::WrongRoomPassword),
            Self::Failed(error) => error.reason(),
            Self::Disconnected | Self::LoggedOut => None,
        }
    }

    /// The class of the refusal that it came from.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Removed | Self::Banned | Self::PasswordChanged => Some(Kind::PermissionDenied),
            Self::RoomDeleted => Some(Kind::NotFound),
            Self::LoggedOut => Some(Kind::Unauthenticated),
            Self::Failed(error) => error.kind(),
            Self::Disconnected => None,
        }
    }
}

impl From<Error> for CloseReason {
    fn from(error: Error) -> Self {
        match (&error, error.kind(), error.reason()) {
            (Error::Disconnected, ..) => Self::Disconnected,
            (Error::NotLoggedIn, ..) | (_, Some(Kind::Unauthenticated), Some(_)) => Self::LoggedOut,
            (.., Some(Reason::NotAMember)) => Self::Removed,
            (.., Some(Reason::Banned)) => Self::Banned,
            (.., Some(Reason::RoomNotFound)) => Self::RoomDeleted,
            (.., Some(Reason::WrongRoomPassword)) => Self::PasswordChanged,
            _ => Self::Failed(error),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("disconnected"),
            Self::Removed => f.write_str("you are no longer a member of this room"),
            Self::Banned => f.write_str("you were banned from this room"),
            Self::RoomDeleted => f.write_str("this room was deleted"),
            Self::PasswordChanged => f.write_str("this room has another password now"),
            Self::LoggedOut => f.write_str("the session has ended"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// The events of a room, from [`Room::events`](crate::Room::events): a [`Stream`] that connects, resumes and
/// waits by itself while it is polled.
///
/// There is no task and no queue behind it. A reader that is slow is served from the room's log when it comes
/// back, and dropping the stream ends everything.
///
/// ```no_run
/// use futures_util::StreamExt as _;
/// use grpcchatter_client::Event;
///
/// # async fn run(room: grpcchatter_client::Room) {
/// let mut events = room.events();
/// while let Some(event) = events.next().await {
///     match event {
///         Event::Message(message) => println!("{}: {}", message.user_name, message.body),
///         Event::Reconnecting { delay, .. } => println!("connecting again in {delay:?}"),
///         Event::Closed(why) => println!("{why}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct Events {
    pub(crate) feed: BoxStream<'static, Event>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// The next event, or `None` after [`Event::Closed`]. For programs that do without `StreamExt`.
    ///
    /// Cancel safe: an event is never lost by dropping the future.
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) {
    /// let mut events = room.events();
    /// while let Some(event) = events.recv().await {
    ///     println!("{event:?}");
    /// }
    /// # }
    /// ```
    pub async fn recv(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.feed.as_mut().poll_next(context)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.feed.as_mut().poll_next(context)
    }
}

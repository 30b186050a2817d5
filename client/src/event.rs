//! The events of a room.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream::BoxStream};

use crate::{Error, Kind, Message, Reason, RoomInfo, User};

/// An event in a room, or of the connection to it.
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
    /// A message was sent.
    Message(Message),
    /// All messages from before the stream opened were delivered; what follows is live.
    CaughtUp {
        /// The seq of the newest message at that time.
        last_seq: i64,
    },
    /// The users who are present. Replaces everything known before.
    Present {
        /// All users including the caller; at most 200.
        users: Vec<User>,
        /// The number of users present, which may be larger.
        count: usize,
    },
    /// A user came online in the room.
    Came(User),
    /// A user went offline or left the room.
    Left(String),
    /// The number of users present. Follows [`Event::Came`] and [`Event::Left`]; comes alone if more than 200 are
    /// present.
    PresentCount(usize),
    /// The room was renamed.
    RoomUpdated(RoomInfo),
    /// The connection is lost. The stream reconnects by itself.
    Reconnecting {
        /// The delay before the next attempt.
        delay: Duration,
        /// Why the connection was lost, or why the last attempt failed.
        cause: Error,
    },
    /// The connection is back, and nothing was missed.
    Resumed,
    /// The log cannot be continued from the last position, for example after a backup was restored. Discard what
    /// was read, and read it again with [`Room::newest_messages`](crate::Room::newest_messages). The stream
    /// continues after `last_seq`.
    Reset {
        /// The seq of the newest message in the new log.
        last_seq: i64,
    },
    /// The stream has ended. This is the last event.
    Closed(CloseReason),
}

/// Why a stream of events has ended.
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
    /// The user left on another device, or was removed from the room.
    Removed,
    /// The user was banned from the room.
    Banned,
    /// The room was deleted.
    RoomDeleted,
    /// The room has a new password: join again with it.
    PasswordChanged,
    /// The session has ended: log in again.
    LoggedOut,
    /// Any other failure that a retry does not fix.
    Failed(Error),
}

impl CloseReason {
    /// The reason of the refusal behind it.
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

    /// The class of the refusal behind it.
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

/// The events of a room, from [`Room::events`](crate::Room::events): a [`Stream`] that connects, resumes and waits
/// while it is polled.
///
/// It has no task and no queue. A slow reader is served from the room's log, and dropping the stream ends it.
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
    pub(crate) stream: BoxStream<'static, Event>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// The next event, or `None` after [`Event::Closed`]. Works without `StreamExt`.
    ///
    /// Cancel safe: dropping the future loses no event.
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
        std::future::poll_fn(|context| self.stream.as_mut().poll_next(context)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.stream.as_mut().poll_next(context)
    }
}

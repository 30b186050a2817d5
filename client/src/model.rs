//! The values that the calls return.

use std::time::{Duration, SystemTime};

use grpcchatter_proto::v1;
use uuid::Uuid;

use crate::Error;

/// An account, from [`Client::register`](crate::Client::register) or [`Client::account`](crate::Client::account).
///
/// ```no_run
/// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
/// let account = client.account().await?;
/// println!("{} is number {}", account.user_name, account.id);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// The server's id of the account.
    pub id: i64,
    /// The user name.
    pub user_name: String,
    /// When it was registered.
    pub created_at: SystemTime,
}

/// A room's properties.
///
/// ```no_run
/// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
/// for room in client.rooms().await? {
///     println!("{}  {} of {}, {} messages", room.short_code, room.name, room.owner_name, room.last_seq);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomInfo {
    /// What users type to find the room.
    pub short_code: String,
    /// The name of the room.
    pub name: String,
    /// The owner, who may rename and delete the room and remove users.
    pub owner_name: String,
    /// When it was created.
    pub create_time: SystemTime,
    /// The seq of its newest message; 0 if there is none.
    pub last_seq: i64,
}

/// A message in a room's log.
///
/// ```no_run
/// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
/// let message = room.send("hello").await?;
/// assert_eq!(message.body, "hello");
/// println!("{} by {}", message.seq, message.user_name);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Its position in the log: 1, 2, 3 … without a gap, the same for all users.
    pub seq: i64,
    /// The server's id of the message.
    pub message_id: String,
    /// The author's user name; empty after the account was deleted.
    pub user_name: String,
    /// The text.
    pub body: String,
    /// When the server stored it.
    pub create_time: SystemTime,
    /// The author's id of the message, if they gave one.
    pub client_message_id: Option<String>,
    /// Whether the user of this client wrote it, here or on another device. A program that answers messages must
    /// skip these, or it answers itself endlessly.
    pub is_own: bool,
}

impl Message {
    /// The message as `user_name` sees it.
    pub(crate) fn seen_by(self, user_name: &str) -> Self {
        Self { is_own: self.user_name == user_name, ..self }
    }

    /// The position right after this message, from which a later run of the program can continue.
    ///
    /// ```
    /// # fn keep(message: &grpcchatter_client::Message) {
    /// use grpcchatter_client::Start;
    ///
    /// let start = Start::After(message.resume_point());
    /// # let _ = start;
    /// # }
    /// ```
    #[must_use]
    pub fn resume_point(&self) -> ResumePoint {
        ResumePoint { seq: self.seq, message_id: self.message_id.clone() }
    }
}

/// The last message that a reader has. The server checks both values, so that a log that was restored from a backup
/// is noticed.
///
/// ```
/// use grpcchatter_client::ResumePoint;
///
/// let beginning = ResumePoint::default();
/// assert_eq!(beginning.seq, 0);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ResumePoint {
    /// [`Message::seq`]; 0 is the beginning of the log.
    pub seq: i64,
    /// [`Message::message_id`].
    pub message_id: String,
}

/// Where to start reading a room's events.
///
/// | a program that | starts with |
/// |---|---|
/// | joins, and misses nothing from then on | [`Start::Joined`] |
/// | reacts to new messages only | [`Start::Now`] |
/// | shows a conversation | [`Start::Last`] |
/// | stores its position on disk, such as a bot that answers every message once | [`Start::After`] |
/// | copies the whole log | [`Start::Beginning`] |
///
/// ```
/// use grpcchatter_client::{ResumePoint, Start};
///
/// // A program that stores its position starts with new messages on its first run.
/// fn start(kept: Option<ResumePoint>) -> Start {
///     kept.map_or(Start::Now, Start::After)
/// }
/// assert_eq!(start(None), Start::Now);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With the messages since this [`Room`](crate::Room) was joined, however much later the stream is opened.
    #[default]
    Joined,
    /// With the messages after the stream has opened, which happens when it is first polled. If it breaks before
    /// [`Event::CaughtUp`](crate::Event::CaughtUp) and messages are sent meanwhile,
    /// [`Event::Reset`](crate::Event::Reset) reports that.
    Now,
    /// With this many of the newest messages, at most 200.
    Last(u16),
    /// After a known message, from [`Message::resume_point`]. If the log cannot be continued from there,
    /// [`Event::Reset`](crate::Event::Reset) reports that.
    After(ResumePoint),
    /// With the first message of the log. If the server has removed old messages,
    /// [`Event::Reset`](crate::Event::Reset) reports that; read the remaining ones with
    /// [`Room::messages_after`](crate::Room::messages_after).
    Beginning,
}

/// A user who is present in a room.
///
/// ```no_run
/// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
/// for user in room.users().await? {
///     let here = user.online_since.elapsed().unwrap_or_default();
///     println!("{}, for {} minutes", user.name, here.as_secs() / 60);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The user name.
    pub name: String,
    /// Since when the user is present.
    pub online_since: SystemTime,
}

/// A page of a room's log.
///
/// ```no_run
/// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
/// let page = room.newest_messages(50).await?;
/// println!("{} of {}", page.messages.len(), page.last_seq);
/// if page.more {
///     println!("there are older ones, from {} on", page.first_seq);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// In ascending order of [`Message::seq`].
    pub messages: Vec<Message>,
    /// Whether there are more messages in the requested direction.
    pub more: bool,
    /// The seq of the oldest message kept; 0 if there is none.
    pub first_seq: i64,
    /// The seq of the newest message; 0 if there is none.
    pub last_seq: i64,
}

/// A token that lets anyone who has it join one room, until it expires or the room's password changes.
///
/// ```no_run
/// # async fn run(owner: grpcchatter_client::Client, guest: grpcchatter_client::Client)
/// # -> Result<(), grpcchatter_client::Error> {
/// let invitation = owner.invite("aB3xYz", None).await?;
/// let room = guest.join_by_invitation(&invitation.token).await?;
/// assert!(!format!("{invitation:?}").contains(&invitation.token), "it is as good as a password");
/// # let _ = room;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invitation {
    /// The token for [`Client::join_by_invitation`](crate::Client::join_by_invitation).
    pub token: String,
    /// When it expires.
    pub expire_time: SystemTime,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invitation").field("expire_time", &self.expire_time).finish_non_exhaustive()
    }
}

/// Creates an id for a message: a version 7 UUID, which the server stores far more cheaply than a random one.
///
/// ```
/// let id = grpcchatter_client::new_message_id();
/// assert_ne!(id, grpcchatter_client::new_message_id());
/// ```
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a client has no test that depends on its ids")]
pub fn new_message_id() -> String {
    Uuid::now_v7().to_string()
}

pub(crate) fn time_of(stamp: Option<prost_types::Timestamp>) -> Result<SystemTime, Error> {
    stamp
        .and_then(|stamp| SystemTime::try_from(stamp).ok())
        .ok_or_else(|| Error::Malformed("a time is missing or out of range".to_owned()))
}

pub(crate) fn duration_of(value: Option<prost_types::Duration>) -> Option<Duration> {
    value.and_then(|value| Duration::try_from(value).ok())
}

// Hidden: the version of the protocol package is not part of this crate's API.
#[doc(hidden)]
impl TryFrom<Option<v1::ChatRoom>> for RoomInfo {
    type Error = Error;

    fn try_from(room: Option<v1::ChatRoom>) -> Result<Self, Error> {
        let room = room.ok_or_else(|| Error::Malformed("the room is missing".to_owned()))?;
        Ok(Self {
            create_time: time_of(room.create_time)?,
            short_code: room.short_code,
            name: room.room_name,
            owner_name: room.owner_name,
            last_seq: room.last_seq,
        })
    }
}

#[doc(hidden)]
impl TryFrom<v1::Message> for Message {
    type Error = Error;

    fn try_from(message: v1::Message) -> Result<Self, Error> {
        Ok(Self {
            create_time: time_of(message.create_time)?,
            seq: message.seq,
            message_id: message.message_id,
            user_name: message.user_name,
            body: message.body,
            client_message_id: Some(message.client_message_id).filter(|id| !id.is_empty()),
            is_own: false,
        })
    }
}

#[doc(hidden)]
impl TryFrom<v1::User> for User {
    type Error = Error;

    fn try_from(user: v1::User) -> Result<Self, Error> {
        Ok(Self { online_since: time_of(user.online_since)?, name: user.user_name })
    }
}

#[doc(hidden)]
impl TryFrom<v1::ListMessagesResponse> for Page {
    type Error = Error;

    fn try_from(page: v1::ListMessagesResponse) -> Result<Self, Error> {
        Ok(Self {
            messages: page.messages.into_iter().map(Message::try_from).collect::<Result<_, _>>()?,
            more: page.more,
            first_seq: page.first_seq,
            last_seq: page.last_seq,
        })
    }
}

#[doc(hidden)]
impl From<ResumePoint> for v1::ResumePoint {
    fn from(point: ResumePoint) -> Self {
        Self { seq: point.seq, message_id: point.message_id }
    }
}

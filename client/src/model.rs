//! What the calls answer.

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
    /// The server's number for it.
    pub id: i64,
    /// What its owner is called everywhere.
    pub user_name: String,
    /// When it was registered.
    pub created_at: SystemTime,
}

/// A room as it stands in a list or an answer.
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
    /// What people type to find it.
    pub short_code: String,
    /// Its name.
    pub name: String,
    /// Who may rename and delete it and put people out.
    pub owner_name: String,
    /// When it was made.
    pub create_time: SystemTime,
    /// The place of its newest message; 0 while there is none.
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
    /// Its place in the log: 1, 2, 3 … without a gap, the same for everybody.
    pub seq: i64,
    /// The server's id for it.
    pub message_id: String,
    /// Who said it; empty once the account was deleted.
    pub user_name: String,
    /// What was said.
    pub body: String,
    /// When the server stored it.
    pub create_time: SystemTime,
    /// What its author called it, if anything.
    pub client_message_id: Option<String>,
    /// Whether the user of this client wrote it, here or on another device. A program that answers messages leaves
    /// these out, or it answers itself without end.
    pub is_own: bool,
}

impl Message {
    /// The message as `user_name` reads it.
    pub(crate) fn read_by(self, user_name: &str) -> Self {
        Self { is_own: self.user_name == user_name, ..self }
    }

    /// The point right after this message, from which a later run of the program can continue.
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

/// The last message that a reader has. Both values are checked by the server, so that a log restored from a
/// backup is noticed.
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
/// | a program that | starts |
/// |---|---|
/// | joins and misses nothing from then on | [`Start::Joined`] |
/// | reacts to what comes, and to nothing older | [`Start::Now`] |
/// | shows a conversation | [`Start::Last`] |
/// | keeps its place on disk, as a bot that answers everything once | [`Start::After`] |
/// | copies the whole log | [`Start::Beginning`] |
///
/// ```
/// use grpcchatter_client::{ResumePoint, Start};
///
/// // A program that keeps its place: with what comes next on its first run.
/// fn start(kept: Option<ResumePoint>) -> Start {
///     kept.map_or(Start::Now, Start::After)
/// }
/// assert_eq!(start(None), Start::Now);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With what was said since the room was joined by this [`Room`](crate::Room), however much later the stream is
    /// opened.
    #[default]
    Joined,
    /// With what is said once the stream has opened, which it does when it is first polled. Where it breaks before
    /// [`Event::CaughtUp`](crate::Event::CaughtUp) and something is said meanwhile,
    /// [`Event::Reset`](crate::Event::Reset) says so.
    Now,
    /// With this many of the newest messages, at most 200.
    Last(u16),
    /// After a message that is known already, from [`Message::resume_point`]. Where the log cannot be continued from
    /// there, [`Event::Reset`](crate::Event::Reset) says so.
    After(ResumePoint),
    /// With the first message of the log. Where the server has removed old ones,
    /// [`Event::Reset`](crate::Event::Reset) says so: read what is left by
    /// [`Room::messages_after`](crate::Room::messages_after).
    Beginning,
}

/// Somebody who is in a room at the moment.
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
    /// What they are called.
    pub name: String,
    /// Since when they are here.
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
    /// By rising [`Message::seq`].
    pub messages: Vec<Message>,
    /// Whether there are others in the direction that was asked for.
    pub more: bool,
    /// The place of the oldest message that is kept; 0 while there is none.
    pub first_seq: i64,
    /// The place of the newest message; 0 while there is none.
    pub last_seq: i64,
}

/// A token that lets anybody who shows it join one room, until it expires or the room's password changes.
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
    /// What the guest gives to [`Client::join_by_invitation`](crate::Client::join_by_invitation).
    pub token: String,
    /// When it ends.
    pub expire_time: SystemTime,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invitation").field("expire_time", &self.expire_time).finish_non_exhaustive()
    }
}

/// Makes an id for a message: a version 7 UUID, which the server stores far more cheaply than a random one.
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

// What comes from the protocol is hidden: the version of that package is no promise of this one.
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

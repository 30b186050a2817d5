//! The identities that tokens carry.

use uuid::Uuid;

use super::{RoomId, ShortCode, Timestamp, UserId, UserName};

/// Identifies a session: one log-in, which ends at log-out, and with it every token made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub Uuid);

/// The caller of a verified token.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The holder of a user token.
    User(UserIdentity),
    /// The holder of a chat token.
    Chat(ChatIdentity),
}

/// The claims of a user token. Its session was found alive when the call came in.
#[derive(Clone, Debug)]
pub struct UserIdentity {
    /// The account.
    pub user: UserId,
    /// The account's name.
    pub user_name: UserName,
    /// The session that the token came from.
    pub session: SessionId,
}

/// The claims of a room token.
#[derive(Clone, Copy, Debug)]
pub struct RoomInvitation {
    /// The room that it opens.
    pub room: RoomId,
    /// The room's epoch when the token was made. A new room password raises the epoch, which ends the token.
    pub room_epoch: i64,
}

/// The claims of a chat token. Each call looks up whether the membership is still valid.
#[derive(Clone, Debug)]
pub struct ChatIdentity {
    /// The account.
    pub user: UserId,
    /// The account's name.
    pub user_name: UserName,
    /// The session that entered the room.
    pub session: SessionId,
    /// The room.
    pub room: RoomId,
    /// The room's short code, for error sentences.
    pub short_code: ShortCode,
    /// The room's epoch at entry. A new room password raises it.
    pub room_epoch: i64,
    /// The membership's epoch at entry. Leaving, removal and a ban raise it.
    pub member_epoch: i64,
    /// When the token expires.
    pub expires_at: Timestamp,
}

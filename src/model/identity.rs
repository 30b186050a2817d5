use std::fmt;

use uuid::Uuid;

use super::{RoomId, ShortCode, Timestamp, UserId, UserName};

/// Identifies one log-in. It ends at log-out, and every token made from it ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub Uuid);

/// The three kinds of token, told apart by their `aud` claim and signed with different keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Who you are.
    User,
    /// An invitation to one room.
    Room,
    /// One user in one room.
    Chat,
}

impl TokenKind {
    /// Returns the `aud` claim of this kind.
    pub const fn audience(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Room => "room",
            Self::Chat => "chat",
        }
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.audience())
    }
}

/// Who is calling, as a verified token says.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A user token was shown.
    User(UserIdentity),
    /// A chat token was shown.
    Chat(ChatIdentity),
}

/// What a user token says. Its session was found alive when the call came in.
#[derive(Clone, Debug)]
pub struct UserIdentity {
    /// The account.
    pub user: UserId,
    /// The account's name.
    pub user_name: UserName,
    /// The log-in that the token came from.
    pub session: SessionId,
}

/// What a room token says.
#[derive(Clone, Copy, Debug)]
pub struct RoomInvitation {
    /// The room it opens.
    pub room: RoomId,
    /// The room's epoch when it was made; a new room password raises the epoch and ends it.
    pub room_epoch: i64,
}

/// What a chat token says. It is a claim: whether the membership still stands is looked up by each call.
#[derive(Clone, Debug)]
pub struct ChatIdentity {
    /// The account.
    pub user: UserId,
    /// The account's name.
    pub user_name: UserName,
    /// The log-in that entered the room.
    pub session: SessionId,
    /// The room.
    pub room: RoomId,
    /// The room's short code, for sentences.
    pub short_code: ShortCode,
    /// The room's epoch at entry; a new room password raises it.
    pub room_epoch: i64,
    /// The membership's epoch at entry; leaving, removal and a ban raise it.
    pub member_epoch: i64,
    /// When the token ends.
    pub expires_at: Timestamp,
}

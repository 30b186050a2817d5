//! Rooms, room ids, and the epochs that end chat tokens.

use super::{Seq, ShortCode, Timestamp, UserId};

/// Identifies a room. Never reused, unlike a short code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub i64);

/// A room as its members see it.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// The code that people type to enter it.
    pub short_code: ShortCode,
    /// Its name. It may be empty and need not be unique.
    pub name: String,
    /// The user who may rename, delete and moderate it.
    pub owner: UserId,
    /// The owner's user name.
    pub owner_name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// seq of its newest message. 0 if there is none.
    pub last_seq: Seq,
}

/// A room's two epochs. A chat token that was valid stays valid while neither rises and its session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// Rises with every new room password.
    pub room: i64,
    /// Rises with every end of a membership.
    pub members: i64,
}

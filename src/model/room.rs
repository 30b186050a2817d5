use super::{ShortCode, Timestamp, UserId};

/// Identifies a room. Never reused, unlike a short code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub i64);

/// A room as its members see it.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// What people type to enter it.
    pub short_code: ShortCode,
    /// Its name; may be empty, need not be unique.
    pub name: String,
    /// Who may rename, delete and moderate it.
    pub owner: UserId,
    /// The owner's user name.
    pub owner_name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// seq of its newest message; 0 while there is none.
    pub last_seq: i64,
}

/// A room's two epochs. While neither has risen, what was checked of a chat token holds, as long as its session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// Rises with every new password.
    pub room: i64,
    /// Rises whenever a membership ends.
    pub members: i64,
}

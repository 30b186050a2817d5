//! What a guess is aimed at.

use crate::model::{RoomId, SessionId, UserId};

/// What a guess is aimed at.
#[derive(Clone, Copy, Debug)]
pub enum GuessTarget<'a> {
    /// The password of the account with this name, whether or not there is one.
    Account(&'a str),
    /// The password of the caller's own account, in this session.
    Own(SessionId),
    /// A room's password, by a user who is not in the room.
    Room(RoomId, UserId),
    /// A room's password, by a user who is in the room or owns it, and so needs none.
    RoomOfMember(RoomId, UserId),
    /// A short code, by a user.
    ShortCode(UserId),
}

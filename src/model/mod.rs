//! The values and errors that every other module speaks in.
//!
//! A value is parsed once, at the edge, and is valid by being there: a [`UserName`] obeys the rule for user
//! names wherever it turns up. Nothing here does any IO.

mod error;
mod identity;
mod message;
mod name;
mod password;
mod payer;
mod printable;
mod room;
mod text;
mod timestamp;

pub use error::{Error, ErrorKind, Result};
pub use identity::{ChatIdentity, Identity, RoomInvitation, SessionId, TokenKind, UserIdentity};
pub use message::{Message, Passage, ResumePoint, StreamId};
pub use name::NameFlaw;
pub use password::{GivenPassword, Password, RoomPassword};
pub use payer::{Network, Payer};
pub use printable::printable;
pub use room::{Epochs, Room, RoomId};
pub use text::{ClientMessageId, MessageBody, RoomName, ShortCode, UserName};
pub use timestamp::Timestamp;

/// Identifies an account. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub i64);

/// What an account may do beyond its own rooms. `Admin` gives nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everybody.
    User,
    /// Kept from the original's tables.
    Admin,
}

impl Role {
    /// Returns the name that the API and the database use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Admin => "ADMIN",
        }
    }

    /// Reads the name that the API and the database use; what is unknown has no privilege.
    pub fn from_name(name: &str) -> Self {
        if name == "ADMIN" { Self::Admin } else { Self::User }
    }
}

/// An account as its owner sees it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id.
    pub id: UserId,
    /// Its unique, case-sensitive name.
    pub user_name: UserName,
    /// Its role.
    pub role: Role,
    /// When it was registered.
    pub created_at: Timestamp,
}

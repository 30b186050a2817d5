//! The values and errors that all other modules use.
//!
//! A value is parsed once, where it enters the program, and is valid from then on: every [`UserName`] obeys the rule for
//! user names. Nothing here does IO.

mod account;
mod session;
mod membership;
mod identity;
mod message;
mod room;
mod payer;
mod password;
mod text;
mod error;
mod name;
mod seq;
mod short_code;
mod token_kind;
mod printable;
mod timestamp;
mod user;

pub use account::Account;
pub use error::{Error, ErrorKind, Result};
pub use identity::{ChatIdentity, Identity, RoomInvitation, SessionId, UserIdentity};
pub use membership::{ChatFacts, Rejoin, StoredMembership};
pub use message::{LogSlice, Message, ResumePoint, StreamId};
pub use name::NameFlaw;
pub use password::{GivenPassword, Password, RoomPassword};
pub use payer::{Network, Payer};
pub use printable::printable;
pub use room::{Epochs, Room, RoomId};
pub use seq::Seq;
pub use session::{RefreshDecision, StoredSession};
pub use short_code::ShortCode;
pub use text::{ClientMessageId, MessageBody, RoomName, UserName};
pub use timestamp::Timestamp;
pub use token_kind::TokenKind;
pub use user::{Role, UserId};

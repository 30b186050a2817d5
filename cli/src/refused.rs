//! Which of the server's reasons this program does something about.

use grpcchatter_client::{Error, Reason};

/// The room asks for a password, and what was given is not it.
pub(crate) fn asks_for_room_password(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::WrongRoomPassword))
}

/// No room has the short code.
pub(crate) fn no_such_room(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::RoomNotFound | Reason::InvalidShortCode))
}

/// The user name that somebody wants to have cannot be had.
pub(crate) fn about_user_name(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::InvalidUserName | Reason::UserNameTaken))
}

/// Name and password do not belong together.
pub(crate) fn wrong_credentials(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::InvalidCredentials))
}

/// What was typed as a password is wrong, or is none that the server takes.
pub(crate) fn about_password(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::InvalidPassword | Reason::InvalidCredentials))
}

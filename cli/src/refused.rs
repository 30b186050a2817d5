//! Which of the server's reasons this program does something about.

use grpcchatter_client::{Error, reason};

/// The room asks for a password, and what was given is not it.
pub(crate) fn asks_for_room_password(error: &Error) -> bool {
    matches!(error.reason(), Some(reason::WRONG_ROOM_PASSWORD))
}

/// No room has the short code.
pub(crate) fn no_such_room(error: &Error) -> bool {
    matches!(error.reason(), Some(reason::ROOM_NOT_FOUND | reason::INVALID_SHORT_CODE))
}

/// The user name that somebody wants to have cannot be had.
pub(crate) fn about_user_name(error: &Error) -> bool {
    matches!(error.reason(), Some(reason::INVALID_USER_NAME | reason::USER_NAME_TAKEN))
}

/// Name and password do not belong together.
pub(crate) fn wrong_credentials(error: &Error) -> bool {
    matches!(error.reason(), Some(reason::INVALID_CREDENTIALS))
}

/// What was typed as a password is wrong, or is none that the server takes.
pub(crate) fn about_password(error: &Error) -> bool {
    matches!(error.reason(), Some(reason::INVALID_PASSWORD | reason::INVALID_CREDENTIALS))
}

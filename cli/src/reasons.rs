//! Groups the server's reasons by how this program reacts to them.

use grpcchatter_client::{Error, Reason};

/// The room has a password, and none or a wrong one was given.
pub(crate) fn is_wrong_room_password(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::WrongRoomPassword))
}

/// No room has this short code.
pub(crate) fn is_no_such_room(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::RoomNotFound | Reason::InvalidShortCode))
}

/// The requested user name is invalid or taken.
pub(crate) fn is_about_user_name(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::InvalidUserName | Reason::UserNameTaken))
}

/// The name and the password do not match.
pub(crate) fn is_wrong_credentials(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::InvalidCredentials))
}

/// The password is wrong or invalid.
pub(crate) fn is_about_password(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::InvalidPassword | Reason::InvalidCredentials))
}

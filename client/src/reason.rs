//! The reasons that a server gives.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Why a server refused, as [`Refusal::reason`](crate::Refusal::reason) and
        /// [`Error::reason`](crate::Error::reason) tell it.
        ///
        /// ```
        /// use grpcchatter_client::{Error, Reason};
        ///
        /// fn may_have_mistyped(error: &Error) -> bool {
        ///     matches!(error.reason(), Some(Reason::InvalidCredentials | Reason::WrongRoomPassword))
        /// }
        /// # assert!(!may_have_mistyped(&Error::NotLoggedIn));
        /// ```
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)+
            /// One of a newer server's, which this version does not know. Compare it by [`Reason::as_str`]: that goes on
            /// to work with a later version that knows it.
            #[non_exhaustive]
            Other(String),
        }

        impl Reason {
            /// The reason as the server writes it, in capitals.
            ///
            /// ```
            /// use grpcchatter_client::Reason;
            ///
            /// assert_eq!(Reason::WrongRoomPassword.as_str(), "WRONG_ROOM_PASSWORD");
            /// ```
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)+
                    Self::Other(text) => text,
                }
            }

            /// What the server wrote; nothing where it gave no reason.
            pub(crate) fn read(text: &str) -> Option<Self> {
                match text {
                    "" => None,
                    $($text => Some(Self::$name),)+
                    other => Some(Self::Other(other.to_owned())),
                }
            }
        }
    };
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

reasons! {
    /// The user name breaks a rule.
    InvalidUserName = "INVALID_USER_NAME",
    /// The password breaks a rule.
    InvalidPassword = "INVALID_PASSWORD",
    /// The room's name breaks a rule.
    InvalidRoomName = "INVALID_ROOM_NAME",
    /// No short code can look like this.
    InvalidShortCode = "INVALID_SHORT_CODE",
    /// The body of a message holds what no message may, as a zero byte.
    InvalidMessage = "INVALID_MESSAGE",
    /// The body of a message is longer than the server takes.
    MessageTooLong = "MESSAGE_TOO_LONG",
    /// The id that the caller gave to a message breaks a rule.
    InvalidClientMessageId = "INVALID_CLIENT_MESSAGE_ID",
    /// The body of a REST call is not the JSON that it takes.
    InvalidJson = "INVALID_JSON",
    /// Another value of the call breaks a rule.
    InvalidField = "INVALID_FIELD",

    /// The call needs a token.
    TokenMissing = "TOKEN_MISSING",
    /// The token is none of this server's.
    TokenInvalid = "TOKEN_INVALID",
    /// The token has expired.
    TokenExpired = "TOKEN_EXPIRED",
    /// The token was ended: by a log out, a new password, a new room password.
    TokenRevoked = "TOKEN_REVOKED",
    /// The call takes a token of another kind.
    TokenWrongKind = "TOKEN_WRONG_KIND",
    /// The call carried two different tokens.
    TwoTokens = "TWO_TOKENS",
    /// Name and password do not belong together.
    InvalidCredentials = "INVALID_CREDENTIALS",

    /// The room asks for a password, and this is not it.
    WrongRoomPassword = "WRONG_ROOM_PASSWORD",
    /// Only the owner of the room may do this.
    NotRoomOwner = "NOT_ROOM_OWNER",
    /// The caller left the room or was removed from it.
    NotAMember = "NOT_A_MEMBER",
    /// The caller was banned from the room.
    Banned = "BANNED",
    /// The call came from a page of another site, which the server's `CORS_ORIGINS` does not name.
    ForeignOrigin = "FOREIGN_ORIGIN",

    /// No room has this short code.
    RoomNotFound = "ROOM_NOT_FOUND",
    /// No user has this name.
    UserNotFound = "USER_NOT_FOUND",
    /// Nothing is at this path: the URL may be that of another server.
    PathNotFound = "PATH_NOT_FOUND",
    /// The server has no service of the name whose health was asked for.
    ServiceNotFound = "SERVICE_NOT_FOUND",

    /// The id of this message was used before, with another body.
    ClientMessageIdReused = "CLIENT_MESSAGE_ID_REUSED",
    /// Another account has this name.
    UserNameTaken = "USER_NAME_TAKEN",
    /// An account that owns rooms cannot be deleted.
    OwnsRooms = "OWNS_ROOMS",

    /// Too many requests, messages or failed guesses.
    RateLimited = "RATE_LIMITED",
    /// The user owns as many rooms as the server allows.
    TooManyRooms = "TOO_MANY_ROOMS",
    /// The user is a member of as many rooms as the server allows.
    TooManyMemberships = "TOO_MANY_MEMBERSHIPS",
    /// The user has as many open streams as the server allows.
    TooManyStreams = "TOO_MANY_STREAMS",
    /// As many messages of one `Chat` stream as may wait for their answer do so.
    TooManyUnanswered = "TOO_MANY_UNANSWERED",
    /// The request is larger than the server takes.
    TooLarge = "TOO_LARGE",
    /// The server has no room for more.
    StorageFull = "STORAGE_FULL",

    /// The server has too much to do.
    Overloaded = "OVERLOADED",
    /// The server's database does not answer.
    DatabaseUnavailable = "DATABASE_UNAVAILABLE",
    /// The server is going away; another call is answered by the next one.
    Draining = "DRAINING",
    /// The stream has fallen too far behind, and is to be resumed.
    StreamBehind = "STREAM_BEHIND",
    /// The server was not done in time.
    DeadlineExceeded = "DEADLINE_EXCEEDED",

    /// The server does not know the call.
    UnknownMethod = "UNKNOWN_METHOD",
    /// The request is compressed in a way that the server does not read.
    UnsupportedEncoding = "UNSUPPORTED_ENCODING",
    /// `Chat` was called where HTTP/2 is not spoken from end to end.
    BidiNeedsHttp2 = "BIDI_NEEDS_HTTP2",
    /// The room's log was replaced, as by the restore of a backup.
    LogReset = "LOG_RESET",
    /// The server failed, and has the cause in its log.
    Internal = "INTERNAL",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_has_a_name_and_the_rest_is_kept_as_text() {
        assert_eq!(Reason::read("BANNED"), Some(Reason::Banned));
        assert_eq!(Reason::read("BIDI_NEEDS_HTTP2"), Some(Reason::BidiNeedsHttp2));
        assert_eq!(Reason::read(""), None);
        let newer = Reason::read("ON_FIRE").unwrap();
        assert_eq!((newer.as_str(), newer.to_string().as_str()), ("ON_FIRE", "ON_FIRE"));
    }
}

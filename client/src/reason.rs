//! The server's reasons for a refusal.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Why a server refused a call, from [`Refusal::reason`](crate::Refusal::reason) and
        /// [`Error::reason`](crate::Error::reason).
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
            /// A reason of a newer server, unknown to this version. Compare it by [`Reason::as_str`]: that keeps
            /// working when a later version knows it.
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

            /// Parses the server's text; `None` if it is empty.
            pub(crate) fn parse(text: &str) -> Option<Self> {
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
    /// The short code is malformed.
    InvalidShortCode = "INVALID_SHORT_CODE",
    /// The text of a message contains a forbidden character, such as a zero byte.
    InvalidMessage = "INVALID_MESSAGE",
    /// The text of a message is longer than the server accepts.
    MessageTooLong = "MESSAGE_TOO_LONG",
    /// The caller's id of a message breaks a rule.
    InvalidClientMessageId = "INVALID_CLIENT_MESSAGE_ID",
    /// The body of a REST call is not the expected JSON.
    InvalidJson = "INVALID_JSON",
    /// Another value of the call breaks a rule.
    InvalidField = "INVALID_FIELD",

    /// The call needs a token.
    TokenMissing = "TOKEN_MISSING",
    /// The token was not issued by this server.
    TokenInvalid = "TOKEN_INVALID",
    /// The token has expired.
    TokenExpired = "TOKEN_EXPIRED",
    /// The token was revoked: by a logout, a new password, or a new room password.
    TokenRevoked = "TOKEN_REVOKED",
    /// The call takes a token of another kind.
    TokenWrongKind = "TOKEN_WRONG_KIND",
    /// The call carried two different tokens.
    TwoTokens = "TWO_TOKENS",
    /// The user name and the password do not match.
    InvalidCredentials = "INVALID_CREDENTIALS",

    /// The room has a password, and none or a wrong one was given.
    WrongRoomPassword = "WRONG_ROOM_PASSWORD",
    /// Only the owner of the room may do this.
    NotRoomOwner = "NOT_ROOM_OWNER",
    /// The caller left the room or was removed from it.
    NotAMember = "NOT_A_MEMBER",
    /// The caller was banned from the room.
    Banned = "BANNED",
    /// The call came from a page of another site that the server's `CORS_ORIGINS` does not allow.
    ForeignOrigin = "FOREIGN_ORIGIN",

    /// No room has this short code.
    RoomNotFound = "ROOM_NOT_FOUND",
    /// No user has this name.
    UserNotFound = "USER_NOT_FOUND",
    /// Nothing is at this path: the URL may belong to another server.
    PathNotFound = "PATH_NOT_FOUND",
    /// The server does not have the service whose health was requested.
    ServiceNotFound = "SERVICE_NOT_FOUND",

    /// The id of this message was used before, with another text.
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
    /// The `Chat` stream has the maximum number of unanswered messages.
    TooManyUnanswered = "TOO_MANY_UNANSWERED",
    /// The request is larger than the server accepts.
    TooLarge = "TOO_LARGE",
    /// The server has no space left.
    StorageFull = "STORAGE_FULL",

    /// The server is overloaded.
    Overloaded = "OVERLOADED",
    /// The server's database does not respond.
    DatabaseUnavailable = "DATABASE_UNAVAILABLE",
    /// The server is shutting down; its successor answers the next call.
    Draining = "DRAINING",
    /// The stream has fallen too far behind and must be resumed.
    StreamBehind = "STREAM_BEHIND",
    /// The server did not finish in time.
    DeadlineExceeded = "DEADLINE_EXCEEDED",

    /// The server does not know the call.
    UnknownMethod = "UNKNOWN_METHOD",
    /// The request is compressed in an encoding that the server does not support.
    UnsupportedEncoding = "UNSUPPORTED_ENCODING",
    /// `Chat` was called over a connection that is not HTTP/2 from end to end.
    BidiNeedsHttp2 = "BIDI_NEEDS_HTTP2",
    /// The room's log was replaced, for example by restoring a backup.
    LogReset = "LOG_RESET",
    /// The server failed; its log has the cause.
    Internal = "INTERNAL",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_reasons_have_names_and_others_keep_their_text() {
        assert_eq!(Reason::parse("BANNED"), Some(Reason::Banned));
        assert_eq!(Reason::parse("BIDI_NEEDS_HTTP2"), Some(Reason::BidiNeedsHttp2));
        assert_eq!(Reason::parse(""), None);
        let newer = Reason::parse("ON_FIRE").unwrap();
        assert_eq!((newer.as_str(), newer.to_string().as_str()), ("ON_FIRE", "ON_FIRE"));
    }
}

//! The reasons that a server gives, as [`Refusal::reason`](crate::Refusal::reason) carries them.
//!
//! A newer server may give others, so they are strings and not an enum.
//!
//! ```
//! use grpcchatter_client::{Error, reason};
//!
//! fn may_have_mistyped(error: &Error) -> bool {
//!     matches!(error.reason(), Some(reason::INVALID_CREDENTIALS | reason::WRONG_ROOM_PASSWORD))
//! }
//! # assert!(!may_have_mistyped(&Error::NotLoggedIn));
//! ```

/// The user name breaks a rule.
pub const INVALID_USER_NAME: &str = "INVALID_USER_NAME";
/// The password breaks a rule.
pub const INVALID_PASSWORD: &str = "INVALID_PASSWORD";
/// The room's name breaks a rule.
pub const INVALID_ROOM_NAME: &str = "INVALID_ROOM_NAME";
/// No short code can look like this.
pub const INVALID_SHORT_CODE: &str = "INVALID_SHORT_CODE";
/// The body of a message holds what no message may, as a zero byte.
pub const INVALID_MESSAGE: &str = "INVALID_MESSAGE";
/// The body of a message is longer than the server takes.
pub const MESSAGE_TOO_LONG: &str = "MESSAGE_TOO_LONG";
/// The id that the caller gave to a message breaks a rule.
pub const INVALID_CLIENT_MESSAGE_ID: &str = "INVALID_CLIENT_MESSAGE_ID";
/// The body of a REST call is not the JSON that it takes.
pub const INVALID_JSON: &str = "INVALID_JSON";
/// Another value of the call breaks a rule.
pub const INVALID_FIELD: &str = "INVALID_FIELD";

/// The call needs a token.
pub const TOKEN_MISSING: &str = "TOKEN_MISSING";
/// The token is none of this server's.
pub const TOKEN_INVALID: &str = "TOKEN_INVALID";
/// The token has expired.
pub const TOKEN_EXPIRED: &str = "TOKEN_EXPIRED";
/// The token was ended: by a log out, a new password, a new room password.
pub const TOKEN_REVOKED: &str = "TOKEN_REVOKED";
/// The call takes a token of another kind.
pub const TOKEN_WRONG_KIND: &str = "TOKEN_WRONG_KIND";
/// The call carried two different tokens.
pub const TWO_TOKENS: &str = "TWO_TOKENS";
/// Name and password do not belong together.
pub const INVALID_CREDENTIALS: &str = "INVALID_CREDENTIALS";

/// The room asks for a password, and this is not it.
pub const WRONG_ROOM_PASSWORD: &str = "WRONG_ROOM_PASSWORD";
/// Only the owner of the room may do this.
pub const NOT_ROOM_OWNER: &str = "NOT_ROOM_OWNER";
/// The caller left the room or was removed from it.
pub const NOT_A_MEMBER: &str = "NOT_A_MEMBER";
/// The caller was banned from the room.
pub const BANNED: &str = "BANNED";
/// The call came from a page of another site, which the server's `CORS_ORIGINS` does not name.
pub const FOREIGN_ORIGIN: &str = "FOREIGN_ORIGIN";

/// No room has this short code.
pub const ROOM_NOT_FOUND: &str = "ROOM_NOT_FOUND";
/// No user has this name.
pub const USER_NOT_FOUND: &str = "USER_NOT_FOUND";
/// Nothing is at this path: the URL may be that of another server.
pub const PATH_NOT_FOUND: &str = "PATH_NOT_FOUND";

/// The id of this message was used before, with another body.
pub const CLIENT_MESSAGE_ID_REUSED: &str = "CLIENT_MESSAGE_ID_REUSED";
/// Another account has this name.
pub const USER_NAME_TAKEN: &str = "USER_NAME_TAKEN";
/// An account that owns rooms cannot be deleted.
pub const OWNS_ROOMS: &str = "OWNS_ROOMS";

/// Too many requests, messages or failed guesses.
pub const RATE_LIMITED: &str = "RATE_LIMITED";
/// The user owns as many rooms as the server allows.
pub const TOO_MANY_ROOMS: &str = "TOO_MANY_ROOMS";
/// The user is a member of as many rooms as the server allows.
pub const TOO_MANY_MEMBERSHIPS: &str = "TOO_MANY_MEMBERSHIPS";
/// The user has as many open streams as the server allows.
pub const TOO_MANY_STREAMS: &str = "TOO_MANY_STREAMS";
/// As many messages of one `Chat` stream as may wait for their answer do so.
pub const TOO_MANY_UNANSWERED: &str = "TOO_MANY_UNANSWERED";
/// The request is larger than the server takes.
pub const TOO_LARGE: &str = "TOO_LARGE";
/// The server has no room for more.
pub const STORAGE_FULL: &str = "STORAGE_FULL";

/// The server has too much to do.
pub const OVERLOADED: &str = "OVERLOADED";
/// The server's database does not answer.
pub const DATABASE_UNAVAILABLE: &str = "DATABASE_UNAVAILABLE";
/// The server is going away; another call is answered by the next one.
pub const DRAINING: &str = "DRAINING";
/// The stream has fallen too far behind, and is to be resumed.
pub const STREAM_BEHIND: &str = "STREAM_BEHIND";
/// The server was not done in time.
pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";

/// The server does not know the call.
pub const UNKNOWN_METHOD: &str = "UNKNOWN_METHOD";
/// `Chat` was called where HTTP/2 is not spoken from end to end.
pub const BIDI_NEEDS_HTTP2: &str = "BIDI_NEEDS_HTTP2";
/// The room's log was replaced, as by the restore of a backup.
pub const LOG_RESET: &str = "LOG_RESET";
/// The server failed, and has the cause in its log.
pub const INTERNAL: &str = "INTERNAL";

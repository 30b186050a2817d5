//! The errors that callers can get.

use std::time::Duration;

use super::{NameFlaw, ShortCode, TokenKind};

/// The result of an operation on a caller's behalf.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call fails. `Display` is the sentence that the caller gets. It never holds a secret or an internal cause: causes are
/// logged where the error is made.
///
/// The sentences about rooms are the original's, word for word, because its clients may compare them.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's sentence says what it means")]
pub enum Error {
    // sic: the original's sentence, byte for byte.
    #[error("user name must must not be empty and have at least 6 characters, including digits")]
    InvalidUserName,
    #[error("a user name {0}")]
    FlawedUserName(NameFlaw),
    #[error(
        "password must not be empty and must have at least 6 characters, including 1 uppercase letter, 1 lowercase letter, 1 digit and 1 special character"
    )]
    InvalidPassword,
    #[error("a room's password has at most 128 bytes and no U+0000")]
    InvalidRoomPassword,
    #[error("a room's name has at most 128 characters and no U+0000")]
    InvalidRoomName,
    #[error("a room's name {0}")]
    FlawedRoomName(NameFlaw),
    #[error("a short code has 1 to 32 characters of a-z, A-Z and 0-9")]
    InvalidShortCode,
    #[error("a message holds no U+0000")]
    InvalidMessage,
    #[error("a message that has a client_message_id is not empty")]
    EmptyMessage,
    #[error("a message has at most {limit} bytes")]
    MessageTooLong { limit: usize },
    #[error("a client_message_id has at most 64 bytes and no U+0000")]
    InvalidClientMessageId,
    #[error("Invalid request body")]
    InvalidJson,
    #[error("{problem}")]
    InvalidField { field: &'static str, problem: &'static str },

    #[error(
        "authentication token missing: send it as `authorization: Bearer <token>` or as `token: <token>`"
    )]
    TokenMissing,
    #[error("Invalid authentication token. Please provide a valid token.")]
    TokenInvalid,
    #[error("the token has expired")]
    TokenExpired,
    #[error("the token was revoked by a log-out or a new password")]
    TokenRevoked,
    #[error("this call takes a {expected} token")]
    TokenWrongKind { expected: TokenKind },
    #[error("two different tokens were sent, in `authorization` and in `token`")]
    TwoTokens,
    #[error("invalid credentials")]
    InvalidCredentials,

    #[error(
        "Invalid chat room with short code [{0}] password. Please make sure you have the correct password."
    )]
    WrongRoomPassword(ShortCode),
    #[error("No permission to modify chat room with short code [{0}].")]
    NotRoomOwner(ShortCode),
    #[error("No permission to access chat room with short code [{0}].")]
    NotAMember(ShortCode),
    #[error("No permission to access chat room with short code [{0}]: the owner has banned you.")]
    Banned(ShortCode),
    #[error("a page of another site may not do this: its origin is not among CORS_ORIGINS")]
    ForeignOrigin,

    #[error("Chat room with short code [{0}] not found. Please check the provided short code.")]
    RoomNotFound(ShortCode),
    #[error("there is no such user in the room")]
    UserNotFound,
    #[error("there is nothing at this path")]
    PathNotFound,
    #[error("there is no such service: ask for the name of one that is served, or for none")]
    ServiceNotFound,

    #[error("this client_message_id was used for another message")]
    ClientMessageIdReused,
    #[error("user with the provided user name already exists")]
    UserNameTaken,
    #[error("the account still owns rooms: delete them first")]
    OwnsRooms,

    #[error("too many requests: try again later")]
    RateLimited { retry_after: Duration },
    #[error("an account owns at most {limit} rooms: delete one first")]
    TooManyRooms { limit: usize },
    #[error("an account is a member of at most {limit} rooms: leave one first")]
    TooManyMemberships { limit: usize },
    #[error("at most {limit} streams may be open at a time")]
    TooManyStreams { limit: usize },
    #[error("at most {limit} messages may wait for their answer on one stream")]
    TooManyUnanswered { limit: usize },
    #[error("a request has at most {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the server's storage is full")]
    StorageFull,

    #[error("the server is overloaded: try again")]
    Overloaded,
    #[error("the database cannot be reached: try again")]
    DatabaseUnavailable,
    #[error("the server is going away: connect again")]
    Draining,
    #[error("the stream has fallen behind: resume after your last message")]
    StreamBehind,

    #[error("unknown method {method} for service {service}")]
    UnknownMethod { service: String, method: String },
    #[error("requests are not compressed here: send grpc-encoding identity, or none")]
    UnsupportedEncoding,
    #[error("Chat needs HTTP/2 end to end: use Subscribe and SendMessage over gRPC-web")]
    BidiNeedsHttp2,

    #[error("the room's log was replaced: resume to read it again")]
    LogReset,
    #[error("the deadline passed before the call was done")]
    DeadlineExceeded,
    #[error("internal error")]
    Internal,
}

/// The classes of errors. `gateway/refusal.rs` gives each its gRPC code and its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in google.rpc.Code, except TooLarge and StorageFull")]
pub enum ErrorKind {
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    ResourceExhausted,
    TooLarge,
    StorageFull,
    Unavailable,
    Unimplemented,
    Aborted,
    DeadlineExceeded,
    Internal,
}

impl Error {
    /// Returns the class, and the stable name that programs compare (`ErrorInfo.reason` in gRPC).
    const fn classify(&self) -> (ErrorKind, &'static str) {
        use ErrorKind as Kind;
        match self {
            Self::InvalidUserName | Self::FlawedUserName(_) => (Kind::InvalidArgument, "INVALID_USER_NAME"),
            Self::InvalidPassword | Self::InvalidRoomPassword => (Kind::InvalidArgument, "INVALID_PASSWORD"),
            Self::InvalidRoomName | Self::FlawedRoomName(_) => (Kind::InvalidArgument, "INVALID_ROOM_NAME"),
            Self::InvalidShortCode => (Kind::InvalidArgument, "INVALID_SHORT_CODE"),
            Self::InvalidMessage | Self::EmptyMessage => (Kind::InvalidArgument, "INVALID_MESSAGE"),
            Self::MessageTooLong { .. } => (Kind::InvalidArgument, "MESSAGE_TOO_LONG"),
            Self::InvalidClientMessageId => (Kind::InvalidArgument, "INVALID_CLIENT_MESSAGE_ID"),
            Self::InvalidJson => (Kind::InvalidArgument, "INVALID_JSON"),
            Self::InvalidField { .. } => (Kind::InvalidArgument, "INVALID_FIELD"),
            Self::TokenMissing => (Kind::Unauthenticated, "TOKEN_MISSING"),
            Self::TokenInvalid => (Kind::Unauthenticated, "TOKEN_INVALID"),
            Self::TokenExpired => (Kind::Unauthenticated, "TOKEN_EXPIRED"),
            Self::TokenRevoked => (Kind::Unauthenticated, "TOKEN_REVOKED"),
            Self::TokenWrongKind { .. } => (Kind::Unauthenticated, "TOKEN_WRONG_KIND"),
            Self::TwoTokens => (Kind::Unauthenticated, "TWO_TOKENS"),
            Self::InvalidCredentials => (Kind::Unauthenticated, "INVALID_CREDENTIALS"),
            Self::WrongRoomPassword(_) => (Kind::PermissionDenied, "WRONG_ROOM_PASSWORD"),
            Self::NotRoomOwner(_) => (Kind::PermissionDenied, "NOT_ROOM_OWNER"),
            Self::NotAMember(_) => (Kind::PermissionDenied, "NOT_A_MEMBER"),
            Self::Banned(_) => (Kind::PermissionDenied, "BANNED"),
            Self::ForeignOrigin => (Kind::PermissionDenied, "FOREIGN_ORIGIN"),
            Self::RoomNotFound(_) => (Kind::NotFound, "ROOM_NOT_FOUND"),
            Self::UserNotFound => (Kind::NotFound, "USER_NOT_FOUND"),
            Self::PathNotFound => (Kind::NotFound, "PATH_NOT_FOUND"),
            Self::ServiceNotFound => (Kind::NotFound, "SERVICE_NOT_FOUND"),
            Self::ClientMessageIdReused => (Kind::AlreadyExists, "CLIENT_MESSAGE_ID_REUSED"),
            Self::UserNameTaken => (Kind::AlreadyExists, "USER_NAME_TAKEN"),
            Self::OwnsRooms => (Kind::FailedPrecondition, "OWNS_ROOMS"),
            Self::RateLimited { .. } => (Kind::ResourceExhausted, "RATE_LIMITED"),
            Self::TooManyRooms { .. } => (Kind::ResourceExhausted, "TOO_MANY_ROOMS"),
            Self::TooManyMemberships { .. } => (Kind::ResourceExhausted, "TOO_MANY_MEMBERSHIPS"),
            Self::TooManyStreams { .. } => (Kind::ResourceExhausted, "TOO_MANY_STREAMS"),
            Self::TooManyUnanswered { .. } => (Kind::ResourceExhausted, "TOO_MANY_UNANSWERED"),
            Self::TooLarge { .. } => (Kind::TooLarge, "TOO_LARGE"),
            Self::StorageFull => (Kind::StorageFull, "STORAGE_FULL"),
            Self::Overloaded => (Kind::Unavailable, "OVERLOADED"),
            Self::DatabaseUnavailable => (Kind::Unavailable, "DATABASE_UNAVAILABLE"),
            Self::Draining => (Kind::Unavailable, "DRAINING"),
            Self::StreamBehind => (Kind::Unavailable, "STREAM_BEHIND"),
            Self::UnknownMethod { .. } => (Kind::Unimplemented, "UNKNOWN_METHOD"),
            Self::UnsupportedEncoding => (Kind::Unimplemented, "UNSUPPORTED_ENCODING"),
            Self::BidiNeedsHttp2 => (Kind::Unimplemented, "BIDI_NEEDS_HTTP2"),
            Self::LogReset => (Kind::Aborted, "LOG_RESET"),
            Self::DeadlineExceeded => (Kind::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            Self::Internal => (Kind::Internal, "INTERNAL"),
        }
    }

    /// Returns the class of this error.
    pub const fn kind(&self) -> ErrorKind {
        self.classify().0
    }

    /// Returns the stable name of this error, in capitals.
    pub const fn reason(&self) -> &'static str {
        self.classify().1
    }

    /// Says whether the caller has reached a limit.
    pub const fn is_limit(&self) -> bool {
        matches!(self.kind(), ErrorKind::ResourceExhausted)
    }

    /// Returns how long to wait before a retry, if a retry may succeed.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::Overloaded | Self::Draining | Self::StreamBehind => Some(Duration::from_millis(500)),
            Self::DatabaseUnavailable => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Returns the field of the request that is invalid, if it is one field.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::InvalidUserName | Self::FlawedUserName(_) => Some("user_name"),
            Self::InvalidPassword => Some("password"),
            Self::InvalidRoomPassword => Some("room_password"),
            Self::InvalidRoomName | Self::FlawedRoomName(_) => Some("room_name"),
            Self::InvalidShortCode => Some("short_code"),
            Self::InvalidMessage | Self::EmptyMessage | Self::MessageTooLong { .. } => Some("body"),
            Self::InvalidClientMessageId => Some("client_message_id"),
            Self::InvalidField { field, .. } => Some(field),
            _ => None,
        }
    }
}

//! What can go wrong, and whether trying again helps.

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::CloseReason;

/// The reasons that a server gives, as [`Refusal::reason`] carries them.
///
/// A newer server may give others, so they are strings and not an enum.
pub mod reason {
    /// The user name breaks a rule.
    pub const INVALID_USER_NAME: &str = "INVALID_USER_NAME";
    /// The password breaks a rule.
    pub const INVALID_PASSWORD: &str = "INVALID_PASSWORD";
    /// The body of a message is longer than the server takes.
    pub const MESSAGE_TOO_LONG: &str = "MESSAGE_TOO_LONG";
    /// Name and password do not belong together.
    pub const INVALID_CREDENTIALS: &str = "INVALID_CREDENTIALS";
    /// The token has expired.
    pub const TOKEN_EXPIRED: &str = "TOKEN_EXPIRED";
    /// The token was ended: by a log out, a new password, a new room password.
    pub const TOKEN_REVOKED: &str = "TOKEN_REVOKED";
    /// The room asks for a password, and this is not it.
    pub const WRONG_ROOM_PASSWORD: &str = "WRONG_ROOM_PASSWORD";
    /// Only the owner of the room may do this.
    pub const NOT_ROOM_OWNER: &str = "NOT_ROOM_OWNER";
    /// The caller left the room or was removed from it.
    pub const NOT_A_MEMBER: &str = "NOT_A_MEMBER";
    /// The caller was banned from the room.
    pub const BANNED: &str = "BANNED";
    /// No room has this short code.
    pub const ROOM_NOT_FOUND: &str = "ROOM_NOT_FOUND";
    /// No user has this name.
    pub const USER_NOT_FOUND: &str = "USER_NOT_FOUND";
    /// Another account has this name.
    pub const USER_NAME_TAKEN: &str = "USER_NAME_TAKEN";
    /// The id of this message was used before, with another body.
    pub const CLIENT_MESSAGE_ID_REUSED: &str = "CLIENT_MESSAGE_ID_REUSED";
    /// An account that owns rooms cannot be deleted.
    pub const OWNS_ROOMS: &str = "OWNS_ROOMS";
    /// Too many requests, messages or failed guesses.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// The user has as many open streams as the server allows.
    pub const TOO_MANY_STREAMS: &str = "TOO_MANY_STREAMS";
    /// The server is going away; another call is answered by the next one.
    pub const DRAINING: &str = "DRAINING";
}

/// The domain of the `ErrorInfo` that a GRPCChatter server attaches.
const DOMAIN: &str = "grpcchatter";

/// Why a call failed.
///
/// ```
/// use grpcchatter_client::{Error, reason};
///
/// fn explain(error: &Error) -> String {
///     match error.reason() {
///         Some(reason::WRONG_ROOM_PASSWORD) => "ask the owner for the password".to_owned(),
///         _ if error.is_retryable() => format!("{error}; try again later"),
///         _ => error.to_string(),
///     }
/// }
/// # assert_eq!(explain(&Error::NotLoggedIn), "nobody is logged in");
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is not `http://host[:port]` or `https://host[:port]`.
    #[error("{url:?} cannot be the server's URL: {why}")]
    InvalidUrl {
        /// What was given.
        url: String,
        /// The rule that it breaks.
        why: String,
    },
    /// A value holds what the protocol cannot carry, as a zero byte in a token.
    #[error("{0} cannot be sent as it is")]
    InvalidValue(&'static str),
    /// The server answered, and said no.
    #[error("{0}")]
    Refused(Refusal),
    /// No server answers, or the connection broke.
    #[error("the server cannot be reached")]
    Unreachable(#[source] Arc<dyn StdError + Send + Sync>),
    /// The server's certificate is of an unknown authority, for another name, or not valid now. An authority
    /// of one's own is named by `ClientBuilder::ca_certificate`.
    #[error("the server's certificate is not trusted: {0}")]
    Untrusted(String),
    /// What was given to `ClientBuilder::ca_certificate` is not a certificate in PEM.
    #[error("the certificate authority cannot be used: {0}")]
    InvalidAuthority(String),
    /// The server did not answer within [`ClientBuilder::call_timeout`](crate::ClientBuilder::call_timeout).
    #[error("the server did not answer in time")]
    TimedOut,
    /// What answered does not speak as a GRPCChatter server does.
    #[error("the answer is not that of a chat server: {0}")]
    Malformed(String),
    /// The call needs [`Client::login`](crate::Client::login) first, or the session has ended.
    #[error("nobody is logged in")]
    NotLoggedIn,
    /// `disconnect` was called.
    #[error("this client has disconnected")]
    Disconnected,
    /// Nothing more comes from the room.
    #[error("{0}")]
    Closed(Box<CloseReason>),
    /// The room's log cannot be continued from where it was read last: read it again.
    #[error("the room's log was reset")]
    LogReset,
    /// The message was not acknowledged in time: it may be in the room's log or not. Sending it again with
    /// the same id by [`Room::send_with_id`](crate::Room::send_with_id) is safe.
    #[error("the message was not acknowledged")]
    Unacknowledged {
        /// What the message was sent as.
        client_message_id: String,
        /// What the last attempt met.
        source: Box<Error>,
    },
    /// The file that keeps the session cannot be read or written.
    #[error("the session file cannot be used")]
    SessionFile(#[source] Arc<io::Error>),
}

/// A server's refusal: its kind, its reason and its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Refusal {
    /// The class of the failure.
    pub kind: Kind,
    /// The reason in capitals, one of [`reason`] or a newer one; empty where something between here and the
    /// server refused.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// How long to wait before the next attempt, where the server said so.
    pub retry_after: Option<Duration>,
}

/// The class of a [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A value breaks a rule.
    InvalidArgument,
    /// The token is missing, wrong or over.
    Unauthenticated,
    /// The caller may not do this.
    PermissionDenied,
    /// What was named does not exist.
    NotFound,
    /// What was to be made exists.
    AlreadyExists,
    /// The state of things forbids it for now.
    FailedPrecondition,
    /// A limit was reached.
    ResourceExhausted,
    /// The server cannot answer now.
    Unavailable,
    /// The log was reset under the call.
    Aborted,
    /// The server does not know the call.
    Unimplemented,
    /// The server failed.
    Internal,
}

impl Error {
    /// Whether the same call may succeed later, without anything being changed first.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut | Self::Unacknowledged { .. } => true,
            Self::Refused(refusal) => match refusal.kind {
                Kind::Unavailable | Kind::Aborted => true,
                Kind::ResourceExhausted => {
                    refusal.retry_after.is_some() || refusal.reason == reason::TOO_MANY_STREAMS
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// The server's reason, where the server gave one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) if !refusal.reason.is_empty() => Some(&refusal.reason),
            Self::Unacknowledged { source, .. } => source.reason(),
            _ => None,
        }
    }

    /// The class of the server's refusal, if this is one.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Refused(refusal) => Some(refusal.kind),
            Self::Unacknowledged { source, .. } => source.kind(),
            _ => None,
        }
    }

    /// How long the server asked to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    pub(crate) fn unreachable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let cause = cause.into();
        #[cfg(feature = "tls")]
        if let Some(why) = crate::tls::distrust(cause.as_ref()) {
            return Self::Untrusted(why);
        }
        Self::Unreachable(Arc::from(cause))
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // A status with a source was made on this side, of a broken connection; a server's has none.
        if status.source().is_some() {
            return Self::unreachable(status);
        }
        if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) {
            return Self::TimedOut;
        }
        let details = status.get_error_details();
        let reason = details.error_info().filter(|info| info.domain == DOMAIN);
        Self::Refused(Refusal {
            kind: kind_of(status.code()),
            reason: reason.map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        })
    }
}

fn kind_of(code: Code) -> Kind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => Kind::InvalidArgument,
        Code::Unauthenticated => Kind::Unauthenticated,
        Code::PermissionDenied => Kind::PermissionDenied,
        Code::NotFound => Kind::NotFound,
        Code::AlreadyExists => Kind::AlreadyExists,
        Code::FailedPrecondition => Kind::FailedPrecondition,
        Code::ResourceExhausted => Kind::ResourceExhausted,
        Code::Unavailable => Kind::Unavailable,
        Code::Aborted => Kind::Aborted,
        Code::Unimplemented => Kind::Unimplemented,
        _ => Kind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn refused(code: Code, reason: &str, retry: Option<Duration>) -> Error {
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        if retry.is_some() {
            details.set_retry_info(retry);
        }
        Status::with_error_details(code, "a sentence", details).into()
    }

    #[test]
    fn the_servers_reason_and_delay_are_kept() {
        let error = refused(Code::ResourceExhausted, "RATE_LIMITED", Some(Duration::from_secs(3)));
        assert_eq!(error.reason(), Some(reason::RATE_LIMITED));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
        assert_eq!(error.to_string(), "a sentence");
        assert!(error.is_retryable());
    }

    #[test]
    fn only_what_time_can_heal_is_retryable() {
        assert!(refused(Code::Unavailable, "OVERLOADED", None).is_retryable());
        assert!(refused(Code::Aborted, "LOG_RESET", None).is_retryable());
        assert!(!refused(Code::ResourceExhausted, "STORAGE_FULL", None).is_retryable());
        assert!(!refused(Code::PermissionDenied, "BANNED", None).is_retryable());
        assert!(!refused(Code::Unauthenticated, "TOKEN_REVOKED", None).is_retryable());
        assert!(!Error::Disconnected.is_retryable());
    }

    #[test]
    fn a_reason_of_another_domain_is_not_ours() {
        let details = ErrorDetails::with_error_info("BANNED", "proxy.example", HashMap::new());
        let error = Error::from(Status::with_error_details(Code::Unavailable, "no", details));
        assert_eq!(error.reason(), None);
    }

    #[test]
    fn a_broken_connection_is_unreachable() {
        let status = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        assert!(matches!(Error::from(status), Error::Unreachable(_)));
    }
}

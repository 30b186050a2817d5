//! What can go wrong, and whether trying again helps.

use std::{error::Error as StdError, fmt, io, iter, sync::Arc, time::Duration};

use crate::{CloseReason, Kind, Reason, Refusal};

/// Why a call failed.
///
/// ```
/// use grpcchatter_client::{Error, Reason};
///
/// fn explain(error: &Error) -> String {
///     match error.reason() {
///         Some(Reason::WrongRoomPassword) => "ask the owner for the password".to_owned(),
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
    /// The server answered, and said no; or something in between did in its place, which gives no reason.
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
    /// `disconnect` was called. What was under way then may have been done or not.
    #[error("this client has disconnected")]
    Disconnected,
    /// Nothing more comes from the room.
    #[error("{0}")]
    Closed(Box<CloseReason>),
    /// The room's log cannot be continued from where it was read last: read it again.
    #[error("the room's log was reset")]
    LogReset,
    /// The message was not acknowledged: it may be in the room's log or not, since an answer was lost or time ran
    /// out. Sending it again with the same id by [`Room::send_with_id`](crate::Room::send_with_id) is safe.
    #[error(
        "the message was not acknowledged and may be stored; sent again under its id {client_message_id}, it is stored once"
    )]
    Unacknowledged {
        /// What the message was sent as.
        client_message_id: String,
        /// What the last attempt met, which may be a refusal: of that attempt alone.
        source: Box<Error>,
    },
    /// The file that keeps the session cannot be read or written.
    #[error("the session file cannot be used")]
    SessionFile(#[source] Arc<io::Error>),
}

impl Error {
    /// Whether the same call may succeed later, without anything being changed first: where nobody answered, where the
    /// server asks to come again, and where something in between answered in the place of a server that may be back with
    /// the next call.
    ///
    /// ```
    /// use grpcchatter_client::Error;
    ///
    /// assert!(Error::TimedOut.is_retryable());
    /// assert!(!Error::NotLoggedIn.is_retryable());
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut => true,
            Self::Unacknowledged { source, .. } => source.is_retryable(),
            Self::Refused(refusal) => match refusal.kind {
                Kind::Unavailable | Kind::Aborted => true,
                Kind::ResourceExhausted => {
                    refusal.retry_after.is_some()
                        || matches!(refusal.reason, None | Some(Reason::TooManyStreams))
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// The server's reason, where the server gave one.
    ///
    /// ```
    /// use grpcchatter_client::{CloseReason, Error, Reason};
    ///
    /// assert_eq!(Error::from(CloseReason::Banned).reason(), Some(&Reason::Banned));
    /// assert_eq!(Error::TimedOut.reason(), None);
    /// ```
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Refused(refusal) => refusal.reason.as_ref(),
            Self::Closed(why) => why.reason(),
            Self::Unacknowledged { source, .. } => source.reason(),
            _ => None,
        }
    }

    /// The class of the server's refusal, if this is one.
    ///
    /// ```
    /// use grpcchatter_client::{CloseReason, Error, Kind};
    ///
    /// assert_eq!(Error::from(CloseReason::RoomDeleted).kind(), Some(Kind::NotFound));
    /// assert_eq!(Error::TimedOut.kind(), None);
    /// ```
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Refused(refusal) => Some(refusal.kind),
            Self::Closed(why) => why.kind(),
            Self::Unacknowledged { source, .. } => source.kind(),
            _ => None,
        }
    }

    /// How long the server asked to wait.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) {
    /// if let Err(error) = client.login("walker1", "Secret-1!").await
    ///     && let Some(delay) = error.retry_after()
    /// {
    ///     println!("{error}; in {} seconds", delay.as_secs());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Unacknowledged { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    pub(crate) fn unreachable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let cause = cause.into();
        #[cfg(feature = "tls")]
        if let Some(why) = crate::tls::distrust(cause.as_ref()) {
            return Self::Untrusted(why);
        }
        Self::Unreachable(Arc::new(Cause(cause)))
    }
}

/// What broke a connection. Its `Debug` says what its causes say, and shows nothing of the packages that noticed it.
struct Cause(Box<dyn StdError + Send + Sync>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes = iter::successors(Some(self as &dyn StdError), |cause| (*cause).source());
        f.debug_list().entries(causes.map(ToString::to_string)).finish()
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn refused(code: Code, reason: &str, retry: Option<Duration>) -> Error {
        let mut details = ErrorDetails::with_error_info(reason, "grpcchatter", HashMap::new());
        if retry.is_some() {
            details.set_retry_info(retry);
        }
        Error::of(Status::with_error_details(code, "a sentence", details))
    }

    #[test]
    fn the_servers_reason_and_delay_are_kept() {
        let error = refused(Code::ResourceExhausted, "RATE_LIMITED", Some(Duration::from_secs(3)));
        assert_eq!(error.reason(), Some(&Reason::RateLimited));
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
    fn what_closed_a_room_has_the_servers_reason_and_kind() {
        for (why, kind, reason) in [
            (CloseReason::Removed, Some(Kind::PermissionDenied), Some(&Reason::NotAMember)),
            (CloseReason::Banned, Some(Kind::PermissionDenied), Some(&Reason::Banned)),
            (CloseReason::RoomDeleted, Some(Kind::NotFound), Some(&Reason::RoomNotFound)),
            (CloseReason::PasswordChanged, Some(Kind::PermissionDenied), Some(&Reason::WrongRoomPassword)),
            (CloseReason::Disconnected, None, None),
        ] {
            let error = Error::from(why);
            assert_eq!((error.kind(), error.reason()), (kind, reason), "{error}");
        }
    }

    #[test]
    fn what_was_not_acknowledged_is_as_retryable_as_its_cause() {
        for (cause, retryable) in
            [(Error::TimedOut, true), (refused(Code::PermissionDenied, "BANNED", None), false)]
        {
            let source = Box::new(cause);
            let error = Error::Unacknowledged { client_message_id: String::new(), source };
            assert_eq!(error.is_retryable(), retryable);
        }
    }

    #[test]
    fn a_cause_is_shown_by_its_words() {
        let broken = io::Error::other(Status::internal("h2 protocol error"));
        let error = Error::unreachable(broken);
        assert!(!format!("{error:?}").contains("MetadataMap"), "{error:?}");
        assert!(format!("{error:?}").contains("h2 protocol error"), "{error:?}");
        assert!(error.source().is_some());
    }
}

//! The errors of all calls, and whether a retry may help.

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
        /// The given URL.
        url: String,
        /// The rule that it breaks.
        why: String,
    },
    /// A value that the protocol cannot carry, such as a zero byte in a token.
    #[error("{0} cannot be sent as it is")]
    InvalidValue(&'static str),
    /// The server refused the call, or an intermediary did in its place and gave no reason.
    #[error("{0}")]
    Refused(Refusal),
    /// The server does not respond, or the connection broke.
    #[error("the server cannot be reached")]
    Unreachable(#[source] Arc<dyn StdError + Send + Sync>),
    /// The server's certificate comes from an unknown authority, is for another name, or is not valid now. Add an
    /// authority of your own with `ClientBuilder::ca_certificate`.
    #[error("the server's certificate is not trusted: {0}")]
    Untrusted(String),
    /// The value given to `ClientBuilder::ca_certificate` is not a PEM certificate.
    #[error("the certificate authority cannot be used: {0}")]
    InvalidAuthority(String),
    /// The server did not respond within [`ClientBuilder::call_timeout`](crate::ClientBuilder::call_timeout).
    #[error("the server did not answer in time")]
    TimedOut,
    /// The response is not from a GRPCChatter server.
    #[error("the answer is not that of a chat server: {0}")]
    Malformed(String),
    /// The call needs [`Client::login`](crate::Client::login) first, or the session has ended.
    #[error("nobody is logged in")]
    NotLoggedIn,
    /// `disconnect` was called. Calls in flight at that time may have taken effect.
    #[error("this client has disconnected")]
    Disconnected,
    /// The room's stream has ended.
    #[error("{0}")]
    Closed(Box<CloseReason>),
    /// The room's log cannot be continued from the last position: read it again.
    #[error("the room's log was reset")]
    LogReset,
    /// The message was not acknowledged and may be in the room's log: a response was lost, or the time ran out. It
    /// is safe to send it again under the same id with [`Room::send_with_id`](crate::Room::send_with_id).
    #[error(
        "the message was not acknowledged and may be stored; sent again under its id {client_message_id}, it is stored once"
    )]
    Unacknowledged {
        /// The id of the message.
        client_message_id: String,
        /// The error of the last attempt. If it is a refusal, it refused that attempt only.
        source: Box<Error>,
    },
    /// The session file cannot be read or written.
    #[error("the session file cannot be used")]
    SessionFile(#[source] Arc<io::Error>),
}

impl Error {
    /// Whether the same call may succeed later without any change: the server did not respond, it asked to come
    /// back later, or an intermediary failed in its place.
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

    /// The server's reason, if it gave one.
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

    /// The class of the refusal, if this is one.
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
        if let Some(why) = crate::tls::certificate_error(cause.as_ref()) {
            return Self::Untrusted(why);
        }
        Self::Unreachable(Arc::new(Cause(cause)))
    }
}

/// The cause of a broken connection. `Debug` shows the messages of its sources, not the internals of other
/// packages.
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
    fn only_temporary_failures_are_retryable() {
        assert!(refused(Code::Unavailable, "OVERLOADED", None).is_retryable());
        assert!(refused(Code::Aborted, "LOG_RESET", None).is_retryable());
        assert!(!refused(Code::ResourceExhausted, "STORAGE_FULL", None).is_retryable());
        assert!(!refused(Code::PermissionDenied, "BANNED", None).is_retryable());
        assert!(!refused(Code::Unauthenticated, "TOKEN_REVOKED", None).is_retryable());
        assert!(!Error::Disconnected.is_retryable());
    }

    #[test]
    fn a_close_reason_maps_to_the_servers_reason_and_kind() {
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
    fn an_unacknowledged_message_is_as_retryable_as_its_cause() {
        for (cause, retryable) in
            [(Error::TimedOut, true), (refused(Code::PermissionDenied, "BANNED", None), false)]
        {
            let source = Box::new(cause);
            let error = Error::Unacknowledged { client_message_id: String::new(), source };
            assert_eq!(error.is_retryable(), retryable);
        }
    }

    #[test]
    fn a_cause_shows_its_message_only() {
        let broken = io::Error::other(Status::internal("h2 protocol error"));
        let error = Error::unreachable(broken);
        assert!(!format!("{error:?}").contains("MetadataMap"), "{error:?}");
        assert!(format!("{error:?}").contains("h2 protocol error"), "{error:?}");
        assert!(error.source().is_some());
    }
}

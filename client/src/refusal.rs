//! A refusal by the server, and its class.

use std::time::Duration;

use tonic::Code;

use crate::Reason;

/// A refusal: its class, the server's reason, and a sentence.
///
/// ```no_run
/// use grpcchatter_client::{Error, Kind};
///
/// # async fn run(client: grpcchatter_client::Client) {
/// if let Err(Error::Refused(refusal)) = client.join("aB3xYz", "").await {
///     println!("{:?}: {}", refusal.kind, refusal.message);
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Refusal {
    /// The class of the failure.
    pub kind: Kind,
    /// The server's reason; `None` if an intermediary failed in its place, such as a proxy whose server is
    /// restarting.
    pub reason: Option<Reason>,
    /// A sentence for people.
    pub message: String,
    /// How long to wait before the next attempt, if the server said so.
    pub retry_after: Option<Duration>,
}

/// The class of a [`Refusal`], coarser than its reason: enough to decide what to do next.
///
/// ```
/// use grpcchatter_client::{Error, Kind};
///
/// fn advice(error: &Error) -> &'static str {
///     match error.kind() {
///         Some(Kind::Unauthenticated) => "log in again",
///         Some(Kind::PermissionDenied) => "ask the room's owner",
///         _ => "look at the sentence",
///     }
/// }
/// # assert_eq!(advice(&Error::TimedOut), "look at the sentence");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A value breaks a rule.
    InvalidArgument,
    /// The token is missing, invalid or expired.
    Unauthenticated,
    /// The caller may not do this.
    PermissionDenied,
    /// The named thing does not exist.
    NotFound,
    /// The thing to create exists already.
    AlreadyExists,
    /// The current state does not allow it.
    FailedPrecondition,
    /// A limit was reached.
    ResourceExhausted,
    /// The server cannot answer now.
    Unavailable,
    /// The log was reset during the call.
    Aborted,
    /// The server does not know the call.
    Unimplemented,
    /// The server failed.
    Internal,
}

impl Kind {
    pub(crate) fn of(code: Code) -> Self {
        match code {
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidArgument,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PermissionDenied => Self::PermissionDenied,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::FailedPrecondition => Self::FailedPrecondition,
            Code::ResourceExhausted => Self::ResourceExhausted,
            Code::Unavailable => Self::Unavailable,
            Code::Aborted => Self::Aborted,
            Code::Unimplemented => Self::Unimplemented,
            _ => Self::Internal,
        }
    }
}

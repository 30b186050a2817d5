//! When the server closes a connection that its peer keeps open.

use std::{fmt, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::domain::Connection;

/// How long a connection that is idle or new when the server drains may send its last request.
pub(super) const LAST_REQUEST_TIMEOUT: Duration = Duration::from_millis(500);

/// How long the last response on an old connection may take. Longer than the timeouts of any body and handler.
pub(super) const LAST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection stays open after its client was asked to use another one.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(10);

/// When the server closes connections. Clones share the tokens.
#[derive(Clone, Debug)]
pub struct Lifetime {
    /// CONNECTION_AGE: the age at which a client is asked to use another connection, ± 10 %; none: never.
    pub max_age: Option<Duration>,
    /// KEEP_ALIVE_TIMEOUT: how long an HTTP/1.1 connection may be idle between two requests; zero: one request each.
    pub keep_alive: Duration,
    /// Makes the next response on each HTTP/1.1 connection its last.
    pub end_keep_alive: CancellationToken,
    /// Asks every client to use another server.
    pub drain: CancellationToken,
    /// Closes every connection at once.
    pub end: CancellationToken,
}

impl Lifetime {
    /// Makes a lifetime whose tokens are not cancelled.
    pub fn new(max_age: Option<Duration>, keep_alive: Duration) -> Self {
        let [end_keep_alive, drain, end] = std::array::from_fn(|_| CancellationToken::new());
        Self { max_age, keep_alive, end_keep_alive, drain, end }
    }

    /// Returns the lifetime of one connection, and a token that is cancelled when the connection retires or the server
    /// drains.
    pub(super) fn for_connection(&self, max_age: Option<Duration>) -> (Self, CancellationToken) {
        (Self { max_age, ..self.clone() }, self.drain.child_token())
    }

    /// Runs the first steps of a connection. During a drain they have [`LAST_REQUEST_TIMEOUT`]; none where they did not
    /// finish. A request that was sent before its client could know of the drain is read, since a proxy must not send a
    /// POST twice.
    pub(super) async fn before_drain<T>(&self, steps: impl Future<Output = T>) -> Option<T> {
        let drained = async {
            self.drain.cancelled().await;
            sleep(LAST_REQUEST_TIMEOUT).await;
        };
        tokio::select! {
            biased;
            output = steps => Some(output),
            () = drained => None,
        }
    }

    /// Waits until a connection has to close, and says why.
    pub(super) async fn close_reason(&self, connection: &Connection) -> CloseReason {
        let max_age = async {
            match self.max_age {
                Some(max_age) => sleep(max_age).await,
                None => std::future::pending().await,
            }
        };
        let reason = tokio::select! {
            () = self.drain.cancelled() => CloseReason::Drain,
            () = connection.closing() => CloseReason::AllParked,
            () = max_age => CloseReason::MaxAge,
        };
        tracing::debug!(?reason, "a client is asked to use another connection");
        reason
    }
}

/// Logs the error with which a connection has ended.
pub(super) fn log_error(result: Result<(), impl fmt::Display>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// Why a connection has to close.
#[derive(Clone, Copy, Debug)]
pub(super) enum CloseReason {
    /// The server drains.
    Drain,
    /// All its streams are parked. Other calls on it are answered, since a proxy carries many users.
    AllParked,
    /// It has reached its maximum age. Its streams end after a grace, and their clients resume on another connection.
    MaxAge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_a_moment_during_a_drain() {
        let lifetime = Lifetime::new(None, Duration::ZERO);
        lifetime.drain.cancel();
        for (takes, finishes) in
            [(Duration::ZERO, true), (LAST_REQUEST_TIMEOUT / 2, true), (LAST_REQUEST_TIMEOUT * 2, false)]
        {
            let output = lifetime.before_drain(sleep(takes)).await;
            assert_eq!(output.is_some(), finishes, "{takes:?}");
        }
    }
}

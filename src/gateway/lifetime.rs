//! When connections end, beyond what their peers do.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::domain::Connection;

/// How long a connection that is idle or new when the server drains may send a request, which is its last.
pub(super) const LAST_REQUEST: Duration = Duration::from_millis(500);

/// How long the last response on an old connection may take: longer than any body and handler have.
pub(super) const LAST_ANSWER: Duration = Duration::from_secs(30);

/// When connections end, beyond what their peers do.
#[derive(Clone, Debug)]
pub struct Lifetime {
    /// The age at which a connection is asked to come again, ± 10 %; none: never.
    pub age: Option<Duration>,
    /// How long an HTTP/1.1 connection may be idle between two requests; zero: it has one request.
    pub keep_alive: Duration,
    /// Has every answer over HTTP/1.1 say that it is the last on its connection.
    pub leaving: CancellationToken,
    /// Asks every connection to come again elsewhere.
    pub drain: CancellationToken,
    /// Ends every connection at once.
    pub end: CancellationToken,
}

impl Lifetime {
    /// Makes one that nothing has ended yet.
    pub fn new(age: Option<Duration>, keep_alive: Duration) -> Self {
        let [leaving, drain, end] = std::array::from_fn(|_| CancellationToken::new());
        Self { age, keep_alive, leaving, drain, end }
    }

    /// Returns a connection's own: each is told on its own that it is old, and all that the server drains.
    pub(super) fn of_one(&self, age: Option<Duration>) -> (Self, CancellationToken) {
        (Self { age, ..self.clone() }, self.drain.child_token())
    }

    /// Runs what a connection begins with, which a drain leaves [`LAST_REQUEST`] to end; none where it did not. What a peer
    /// has sent before it could know of the drain is read: a proxy must not send a POST twice.
    pub(super) async fn before_drain<T>(&self, beginning: impl Future<Output = T>) -> Option<T> {
        let drained = async {
            self.drain.cancelled().await;
            sleep(LAST_REQUEST).await;
        };
        tokio::select! {
            biased;
            begun = beginning => Some(begun),
            () = drained => None,
        }
    }

    /// Waits until a connection is to end, and says why.
    pub(super) async fn over(&self, connection: &Connection) -> Leaving {
        let age = async {
            match self.age {
                Some(age) => sleep(age).await,
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            () = self.drain.cancelled() => Leaving::Drained,
            () = connection.closing() => Leaving::Unread,
            () = age => Leaving::Old,
        };
        tracing::debug!(?why, "a connection is asked to come again");
        why
    }
}

/// Why a connection is to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaving {
    /// The server drains.
    Drained,
    /// No stream on it reads. Others may call on it still, since a proxy carries many users: they are answered.
    Unread,
    /// It has had its time: its streams end after a grace, so that their clients resume on another.
    Old,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_leaves_a_connection_that_begins_a_moment() {
        let lifetime = Lifetime::new(None, Duration::ZERO);
        lifetime.drain.cancel();
        for (takes, begins) in [(Duration::ZERO, true), (LAST_REQUEST / 2, true), (LAST_REQUEST * 2, false)] {
            let begun = lifetime.before_drain(sleep(takes)).await;
            assert_eq!(begun.is_some(), begins, "{takes:?}");
        }
    }
}

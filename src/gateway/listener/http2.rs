//! An HTTP/2 connection, from its preface to its close.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    lifetime::{CLOSE_GRACE, CloseReason, LAST_REQUEST_TIMEOUT, LAST_RESPONSE_TIMEOUT, Lifetime, log_error},
    prefixed::Prefixed,
    transport::Transport,
};
use crate::{
    domain::Connection,
    gateway::{layers::send_timeout::ResetUnread, peer::Peer, response_memory::ResponseMemory, stack::Stack},
};

/// Flow-control window of a client's connection, in bytes. h2 closes a connection on which unread small frames, each counted
/// as 256 bytes, take half of it. So 512 calls may arrive at once.
const WINDOW: u32 = 256 * 1024;

/// The same for a trusted proxy, on whose connection one client must not stop the others.
const SHARED_WINDOW: u32 = 32 * 1024 * 1024;

/// Flow-control window of one request, in bytes: several messages of the longest kind.
const STREAM_WINDOW: u32 = 16 * 1024;

/// Maximum number of requests that are open on a client's connection.
const MAX_STREAMS: u32 = 1_000;

/// The same for a trusted proxy, whose connection several clients share.
const MAX_SHARED_STREAMS: u32 = 4_000;

/// Serves a connection to its end.
pub(super) async fn serve(io: Prefixed<Transport>, peer: Peer, stack: &Arc<Stack>, lifetime: &Lifetime) {
    let (connection, retiring) = (Arc::clone(&peer.connection), peer.retiring.clone());
    let builder = builder(stack.memory().clone(), peer.memory.is_shared());
    let mut serving = pin!(builder.serve_connection(TokioIo::new(io), stack.for_peer(peer)));
    // hyper closes a connection without GOAWAY where it is shut down during the handshake of HTTP/2.
    if lifetime.drain.is_cancelled()
        && let Ok(result) = timeout(LAST_REQUEST_TIMEOUT, serving.as_mut()).await
    {
        return log_error(result);
    }
    drive(serving, &connection, lifetime, &retiring, |serving| serving.graceful_shutdown()).await;
}

/// Sets both limits of resets, which tonic's server would turn off.
fn builder(memory: ResponseMemory, is_shared: bool) -> http2::Builder<ResetUnread> {
    let streams = if is_shared { MAX_SHARED_STREAMS } else { MAX_STREAMS };
    let mut builder = http2::Builder::new(ResetUnread::new(memory, streams));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_local_error_reset_streams(256)
        .max_pending_accept_reset_streams(20)
        .max_header_list_size(16 * 1024)
        .max_frame_size(16 * 1024)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(if is_shared { SHARED_WINDOW } else { WINDOW })
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// Polls a connection to its end. `shut_down` sends GOAWAY, which loses nothing: requests that came before it are answered,
/// and the client sends later ones on another connection.
async fn drive<C>(
    mut serving: Pin<&mut C>,
    connection: &Connection,
    lifetime: &Lifetime,
    retiring: &CancellationToken,
    shut_down: impl Fn(Pin<&mut C>),
) where
    C: Future<Output = hyper::Result<()>>,
{
    let reason = tokio::select! {
        result = serving.as_mut() => return log_error(result),
        () = lifetime.end.cancelled() => return,
        reason = lifetime.close_reason(connection) => reason,
    };
    shut_down(serving.as_mut());
    let grace = async {
        match reason {
            // The drain ends the streams, and then the connection.
            CloseReason::Drain => std::future::pending().await,
            CloseReason::AllParked => sleep(CLOSE_GRACE).await,
            CloseReason::MaxAge => {
                sleep(CLOSE_GRACE).await;
                connection.retire();
                retiring.cancel();
                // Calls are still answered. Streams that have not ended by then end with the connection.
                sleep(LAST_RESPONSE_TIMEOUT).await;
            }
        }
    };
    tokio::select! {
        result = serving.as_mut() => log_error(result),
        () = lifetime.end.cancelled() => {}
        () = grace => {}
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use tokio::time::{Instant, Sleep};

    use super::*;

    /// A connection that is open until it is shut down, and then for a while.
    struct Serving(Duration, Option<Pin<Box<Sleep>>>);

    impl Future for Serving {
        type Output = hyper::Result<()>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
            match &mut self.1 {
                Some(rest) => rest.as_mut().poll(context).map(Ok),
                None => Poll::Pending,
            }
        }
    }

    impl Serving {
        fn shut_down(mut self: Pin<&mut Self>) {
            self.1 = Some(Box::pin(sleep(self.0)));
        }
    }

    /// Serves a connection that needs `busy` to shut down, and returns how long it was open.
    async fn open_time(busy: Duration, connection: &Connection, lifetime: &Lifetime) -> Duration {
        let (started, mut serving) = (Instant::now(), Serving(busy, None));
        let retiring = lifetime.drain.child_token();
        drive(Pin::new(&mut serving), connection, lifetime, &retiring, Serving::shut_down).await;
        started.elapsed()
    }

    fn lifetime(max_age: Option<Duration>) -> Lifetime {
        Lifetime::new(max_age, Duration::from_secs(75))
    }

    #[tokio::test(start_paused = true)]
    async fn calls_beside_parked_streams_are_answered() {
        let connection = Connection::default();
        connection.close_if_all_parked();
        let seconds = Duration::from_secs;
        assert_eq!(open_time(seconds(3), &connection, &lifetime(None)).await, seconds(3));
        assert_eq!(open_time(seconds(60), &connection, &lifetime(None)).await, CLOSE_GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_drain_closes_a_connection_that_is_retiring() {
        let lifetime = lifetime(Some(Duration::from_secs(1)));
        let end = lifetime.end.clone();
        // During the last timeout.
        let at = Duration::from_secs(1) + CLOSE_GRACE + CLOSE_GRACE / 2;
        tokio::spawn(async move {
            sleep(at).await;
            end.cancel();
        });
        assert_eq!(open_time(Duration::from_secs(3_600), &Connection::default(), &lifetime).await, at);
    }
}

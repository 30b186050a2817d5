//! An HTTP/2 connection, from its preface to its close.

mod connection;
mod ping;
mod start_queue;
mod stream;
mod body_sender;

use std::{pin::Pin, sync::Arc};

use h2::server::Builder;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::{
    connection::{Io, Serving},
    ping::{LastArrival, Pings},
    start_queue::StartQueue,
};
use super::{
    lifetime::{CLOSE_GRACE, CloseReason, LAST_REQUEST_TIMEOUT, LAST_RESPONSE_TIMEOUT, Lifetime, log_error},
    prefixed::Prefixed,
    transport::Transport,
};
use crate::{
    domain::Connection,
    gateway::{peer::Peer, stack::Stack},
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
    // Boxed: the state of a handshake is large, and is not needed for the rest of the connection.
    let mut serving = match lifetime.before_drain(Box::pin(open(io, peer, stack))).await {
        Some(Ok(serving)) => serving,
        Some(Err(error)) => return log_error(Err(error)),
        None => return,
    };
    // A client that has connected during a drain may send a request.
    if lifetime.drain.is_cancelled()
        && let Ok(result) = timeout(LAST_REQUEST_TIMEOUT, serving.as_mut()).await
    {
        return log_error(result);
    }
    drive(serving.as_mut(), &connection, lifetime, &retiring, Serving::shut_down).await;
}

/// Does the handshake of HTTP/2.
async fn open(
    io: Prefixed<Transport>,
    peer: Peer,
    stack: &Arc<Stack>,
) -> Result<Pin<Box<Serving>>, h2::Error> {
    let max_streams = if peer.memory.is_shared() { MAX_SHARED_STREAMS } else { MAX_STREAMS };
    let window = if peer.memory.is_shared() { SHARED_WINDOW } else { WINDOW };
    let last_arrival = LastArrival::new();
    let recorded = last_arrival.clone();
    let io = Io::new(io, Box::new(move |_| recorded.set()));
    let mut connection = builder(max_streams, window).handshake(io).await?;
    Ok(Box::pin(Serving {
        pings: connection.ping_pong().map(|pings| Pings::new(pings, last_arrival)),
        connection,
        memory: stack.memory().clone(),
        service: stack.for_peer(peer),
        start_queue: StartQueue::new(max_streams as usize),
    }))
}

/// Sets both limits of resets, which tonic's server would turn off.
fn builder(max_streams: u32, window: u32) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(max_streams)
        .max_local_error_reset_streams(Some(256))
        .max_pending_accept_reset_streams(20)
        .max_header_list_size(16 * 1024)
        .max_frame_size(16 * 1024)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window)
        .max_send_buffer_size(64 * 1024);
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
    C: Future<Output = Result<(), h2::Error>>,
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
    use std::{
        task::{Context, Poll},
        time::Duration,
    };

    use tokio::time::{Instant, Sleep};

    use super::*;

    /// A connection that is open until it is shut down, and then for a while.
    struct Serving(Duration, Option<Pin<Box<Sleep>>>);

    impl Future for Serving {
        type Output = Result<(), h2::Error>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
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

//! An HTTP/1.1 connection, from its first request to its close.
//!
//! A response that was sent before its request was read is lost where the close resets the connection. So a connection that
//! ends by itself gets a [lingering close](super::lingering_close).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    http1_io::Http1Io,
    lifetime::{CLOSE_GRACE, CloseReason, LAST_REQUEST_TIMEOUT, LAST_RESPONSE_TIMEOUT, Lifetime, log_error},
    lingering_close::close,
    prefixed::Prefixed,
    transport::Transport,
};
use crate::{
    domain::Connection,
    gateway::{
        http1_writes::Http1Writes,
        keep_alive::KeepAlive,
        min_data_rate::CHECK_INTERVAL,
        peer::Peer,
        response_memory::ResponseMemory,
        stack::{PeerService, Stack},
    },
};

/// Serves a connection to its end.
pub(super) async fn serve(io: Prefixed<Transport>, peer: Peer, stack: &Arc<Stack>, lifetime: &Lifetime) {
    peer.keep_alive.start();
    let (connection, retiring) = (Arc::clone(&peer.connection), peer.retiring.clone());
    let mut serving = Serving::new(io, peer, stack);
    if serving.run(&connection, lifetime, &retiring).await == Ended::ByItself {
        close(serving.into_io()).await;
    }
}

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Everything was answered, the connection failed, or its peer was late.
    ByItself,
    /// The server stopped serving it.
    Aborted,
}

/// A connection that is served. As a future it ends with the connection, or when the peer is late to read or to send.
struct Serving {
    http1: http1::Connection<TokioIo<Http1Io<Prefixed<Transport>>>, PeerService>,
    writes: Http1Writes,
    keep_alive: KeepAlive,
    memory: ResponseMemory,
    /// Set to the next check of the deadlines.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Serving {
    fn new(io: Prefixed<Transport>, peer: Peer, stack: &Arc<Stack>) -> Self {
        let (writes, keep_alive) = (peer.writes.clone(), peer.keep_alive.clone());
        let io = TokioIo::new(Http1Io::new(io, writes.clone(), keep_alive.clone()));
        let mut builder = http1::Builder::new();
        // The timeout of a request's head is KeepAlive's.
        builder.header_read_timeout(None).max_buf_size(64 * 1024).max_headers(64).half_close(true);
        let http1 = builder.serve_connection(io, stack.for_peer(peer));
        Self { http1, writes, keep_alive, memory: stack.memory().clone(), timer: None }
    }

    fn into_io(self) -> Transport {
        self.http1.into_parts().io.into_inner().into_inner().into_inner()
    }

    /// Serves the connection until it ends.
    async fn run(
        &mut self,
        connection: &Connection,
        lifetime: &Lifetime,
        retiring: &CancellationToken,
    ) -> Ended {
        let reason = match self.serve_until(lifetime, lifetime.close_reason(connection)).await {
            Ok(reason) => reason,
            Err(ended) => return ended,
        };
        self.keep_alive.close();
        let served = match reason {
            CloseReason::Drain => self.drain(lifetime).await,
            CloseReason::AllParked => {
                self.shut_down();
                self.serve_until(lifetime, sleep(CLOSE_GRACE)).await
            }
            CloseReason::MaxAge => self.retire(connection, lifetime, retiring).await,
        };
        served.err().unwrap_or(Ended::Aborted)
    }

    /// Serves one more request, and the responses in progress. The drain ends the streams.
    async fn drain(&mut self, lifetime: &Lifetime) -> Result<(), Ended> {
        self.serve_until(lifetime, sleep(LAST_REQUEST_TIMEOUT)).await?;
        self.shut_down();
        self.serve_until(lifetime, std::future::pending()).await
    }

    /// Serves a connection that has reached its maximum age, until a response has announced the close, or until the
    /// connection was idle for KEEP_ALIVE_TIMEOUT.
    async fn retire(
        &mut self,
        connection: &Connection,
        lifetime: &Lifetime,
        retiring: &CancellationToken,
    ) -> Result<(), Ended> {
        let grace = async {
            sleep(CLOSE_GRACE).await;
            connection.retire();
            retiring.cancel();
            // Streams that have not ended by then end with the connection.
            sleep(CLOSE_GRACE + lifetime.keep_alive).await;
        };
        let is_drained = self
            .serve_until(lifetime, async {
                tokio::select! {
                    () = grace => false,
                    () = lifetime.drain.cancelled() => true,
                }
            })
            .await?;
        if is_drained {
            return self.drain(lifetime).await;
        }
        // A request that came late is still answered.
        self.shut_down();
        self.serve_until(lifetime, sleep(LAST_RESPONSE_TIMEOUT)).await
    }

    /// Serves the connection until `event`.
    ///
    /// # Errors
    /// How the connection has ended before the event.
    async fn serve_until<T>(
        &mut self,
        lifetime: &Lifetime,
        event: impl Future<Output = T>,
    ) -> Result<T, Ended> {
        tokio::select! {
            result = self => {
                log_error(result);
                Err(Ended::ByItself)
            }
            () = lifetime.end.cancelled() => Err(Ended::Aborted),
            output = event => Ok(output),
        }
    }

    /// Ends the connection after the response in progress, or at once where there is none.
    fn shut_down(&mut self) {
        Pin::new(&mut self.http1).graceful_shutdown();
    }

    /// Returns the deadline of the peer, what the peer is late with then, and when to check next.
    fn deadline(&self) -> Option<(Instant, &'static str, Instant)> {
        if let Some(deadline) = self.writes.deadline(self.memory.is_scarce()) {
            // Memory may become scarce before the deadline.
            return Some((deadline, "did not read", deadline.min(Instant::now() + CHECK_INTERVAL)));
        }
        self.keep_alive.deadline().map(|deadline| (deadline, "sent no request", deadline))
    }
}

impl Future for Serving {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(result) = this.http1.poll_without_shutdown(context) {
            return Poll::Ready(result);
        }
        while let Some((deadline, what, next_check)) = this.deadline() {
            if Instant::now() >= deadline {
                tracing::debug!("a connection is closed: its peer {what} in time");
                return Poll::Ready(Ok(()));
            }
            // One timer for the life of the connection. A deadline that moves back leaves it alone: it fires too early, and
            // is reset then.
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(next_check)));
            if timer.deadline() > next_check || timer.is_elapsed() {
                timer.as_mut().reset(next_check);
            }
            ready!(timer.as_mut().poll(context));
        }
        Poll::Pending
    }
}

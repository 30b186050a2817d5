//! An HTTP/1.1 connection, from its first request to its end.
//!
//! When all is answered it is left open, so that it can be closed with care: an answer that came before the end of its
//! request is lost to whoever still writes, where the rest is not read.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    answer_memory::AnswerMemory,
    least_rate::LOOK,
    lifetime::{LAST_ANSWER, LAST_REQUEST, Leaving, Lifetime},
    prefixed::Prefixed,
    request_watch::RequestWatch,
    send_watch::{SendWatch, Watched},
    stack::PeerService,
    transport::Transport,
};
use crate::domain::Connection;

type Http1 = http1::Connection<TokioIo<Watched<Prefixed<Transport>>>, PeerService>;

/// How long the streams of a connection may go on after it was asked to come again.
const AGE_GRACE: Duration = Duration::from_secs(10);

/// A connection that is served. It ends where its peer does not read what it asked for, or does not ask in time.
pub(super) struct Serving {
    http1: Http1,
    sending: SendWatch,
    requests: RequestWatch,
    memory: AnswerMemory,
    /// When to look next how fast the peer reads, and whether it asks.
    look: Option<Pin<Box<Sleep>>>,
}

impl Serving {
    /// Begins to serve on `io`, which tells these two what goes on.
    pub(super) fn new(
        io: Prefixed<Transport>,
        service: PeerService,
        sending: SendWatch,
        requests: RequestWatch,
        memory: AnswerMemory,
    ) -> Self {
        let io = TokioIo::new(Watched::new(io, sending.clone(), requests.clone()));
        let mut builder = http1::Builder::new();
        // How long a request may take to come is watched here.
        builder.header_read_timeout(None).max_buf_size(64 * 1024).max_headers(64).half_close(true);
        Self { http1: builder.serve_connection(io, service), sending, requests, memory, look: None }
    }

    /// Serves to the end. Returns the connection where it is to be closed with care: everything was answered, or it failed.
    pub(super) async fn run(
        mut self,
        connection: &Connection,
        lifetime: &Lifetime,
        retiring: &CancellationToken,
    ) -> Option<Transport> {
        match self.serve(connection, lifetime, retiring).await {
            Ended::ByItself => Some(self.http1.into_parts().io.into_inner().into_inner().into_inner()),
            Ended::Cut => None,
        }
    }

    async fn serve(
        &mut self,
        connection: &Connection,
        lifetime: &Lifetime,
        retiring: &CancellationToken,
    ) -> Ended {
        let why = match self.until(lifetime, lifetime.over(connection)).await {
            Ok(why) => why,
            Err(ended) => return ended,
        };
        self.requests.end();
        let until = match why {
            Leaving::Drained => self.drain(lifetime).await,
            Leaving::Unread => {
                self.shut_down();
                self.until(lifetime, sleep(AGE_GRACE)).await
            }
            Leaving::Old => self.grow_old(connection, lifetime, retiring).await,
        };
        until.err().unwrap_or(Ended::Cut)
    }

    /// Waits for one more request, and then for what is being answered: the streams are ended by the server.
    async fn drain(&mut self, lifetime: &Lifetime) -> Result<(), Ended> {
        self.until(lifetime, sleep(LAST_REQUEST)).await?;
        self.shut_down();
        self.until(lifetime, std::future::pending()).await
    }

    /// Serves an old connection until it has told its peer so, or is idle for too long.
    async fn grow_old(
        &mut self,
        connection: &Connection,
        lifetime: &Lifetime,
        retiring: &CancellationToken,
    ) -> Result<(), Ended> {
        let last = async {
            sleep(AGE_GRACE).await;
            connection.retire();
            retiring.cancel();
            // The streams were told to end; what is left of them goes with the connection.
            sleep(AGE_GRACE + lifetime.keep_alive).await;
        };
        let is_drained = self
            .until(lifetime, async {
                tokio::select! {
                    () = last => false,
                    () = lifetime.drain.cancelled() => true,
                }
            })
            .await?;
        if is_drained {
            return self.drain(lifetime).await;
        }
        // A request that came late is answered all the same.
        self.shut_down();
        self.until(lifetime, sleep(LAST_ANSWER)).await
    }

    /// Serves until something happens; the error is how the connection has ended before.
    async fn until<T>(&mut self, lifetime: &Lifetime, event: impl Future<Output = T>) -> Result<T, Ended> {
        tokio::select! {
            ended = self => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                Err(Ended::ByItself)
            }
            () = lifetime.end.cancelled() => Err(Ended::Cut),
            happened = event => Ok(happened),
        }
    }

    /// Has it end after the answer that is under way, at once where there is none.
    fn shut_down(&mut self) {
        Pin::new(&mut self.http1).graceful_shutdown();
    }

    /// Returns when the connection ends unless its peer does its part, what that is, and when to look again.
    fn due(&self) -> Option<(Instant, &'static str, Instant)> {
        if let Some(deadline) = self.sending.deadline(self.memory.is_tight()) {
            // Memory may be tight before that.
            return Some((deadline, "does not read", deadline.min(Instant::now() + LOOK)));
        }
        self.requests.deadline().map(|deadline| (deadline, "asks for nothing", deadline))
    }
}

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Everything was answered, or it failed.
    ByItself,
    /// By the server: nothing more is to be said on it.
    Cut,
}

impl Future for Serving {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(ended) = this.http1.poll_without_shutdown(context) {
            return Poll::Ready(ended);
        }
        while let Some((deadline, what, next)) = this.due() {
            if Instant::now() >= deadline {
                tracing::debug!("a connection is closed: its peer {what}");
                return Poll::Ready(Ok(()));
            }
            // One timer for the life of the connection: it rings too early, and is set anew then, more often than too late.
            let look = this.look.get_or_insert_with(|| Box::pin(sleep_until(next)));
            if look.deadline() > next || look.is_elapsed() {
                look.as_mut().reset(next);
            }
            ready!(look.as_mut().poll(context));
        }
        Poll::Pending
    }
}

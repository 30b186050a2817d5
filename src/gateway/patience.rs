//! Nobody may leave answers unread for ever, which would keep them in memory.
//!
//! hyper takes a piece of a body and holds it until the peer's window has room for more; it asks for the next one only
//! then. So whose turn it is can be told from the body, but not waited for there: what is waited for is the task that
//! hyper makes of each stream, which is run by [`Patient`]. Where it was the peer's turn for [`PATIENCE`] the task is
//! dropped, and the stream is reset. A timer is made for those alone that have to be waited for.
//!
//! Streams of rooms are left to the hub, which sets them aside. HTTP/1.1 has one answer at a time, and a peer that takes
//! nothing of it is found by the socket's own timeout.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, sleep};

use super::body::{Body, BoxError};

/// How long a peer may take for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A piece is as large as a frame of HTTP/2.
const PIECE: usize = 16 * 1024;

/// An answer up to this size is not worth the wait.
const SMALL: usize = 1024;

tokio::task_local! {
    /// Whose turn it is on the stream that is polled.
    static TURN: Cell<Turn>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The answer is being made.
    Ours,
    /// So many pieces were given, and another one is not asked for.
    Theirs(u32),
}

/// Marks an answer, in its extensions, that is left to somebody else when it is not read.
#[derive(Clone, Copy, Debug)]
pub(super) struct MayLieUnread;

/// Runs the streams of an HTTP/2 connection, each in a task of its own, for as long as their peers read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patient;

impl<F> Executor<F> for Patient
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(TURN.scope(Cell::new(Turn::Ours), patiently(stream)));
    }
}

async fn patiently(stream: impl Future<Output = ()>) {
    let mut stream = pin!(stream);
    let mut waiting = None;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Turn::Theirs(pieces) = TURN.with(Cell::get) else {
            waiting = None;
            return Poll::Pending;
        };
        let (since, patience) = waiting.get_or_insert_with(|| (pieces, Box::pin(sleep(PATIENCE))));
        if *since != pieces {
            *since = pieces;
            patience.as_mut().reset(Instant::now() + PATIENCE);
        }
        std::task::ready!(patience.as_mut().poll(context));
        tracing::debug!(pieces, "an answer was reset: it is not read");
        Poll::Ready(())
    })
    .await;
}

/// The body of an answer in pieces, which says whose turn it is.
pub(super) struct Paced {
    body: Body,
    /// What is left of the last frame.
    rest: Bytes,
    /// How many pieces were given; none where nobody counts.
    pieces: Option<u32>,
}

impl Paced {
    /// Paces an answer.
    pub(super) fn new(response: Response<Body>) -> Response<Self> {
        let is_counted = response.extensions().get::<MayLieUnread>().is_none();
        // Without a task that waits, as on HTTP/1.1, there is no turn to tell.
        let pieces = (is_counted && TURN.try_with(|_| ()).is_ok()).then_some(0);
        response.map(|body| Self { body, rest: Bytes::new(), pieces })
    }

    /// Takes a piece of what is left. The last byte is a piece of its own: it is asked for when the peer's window has
    /// room for all before it, so that what lies unread lies here and not in hyper.
    fn piece(&mut self) -> Bytes {
        let length = match self.rest.len() {
            length @ ..=1 => length,
            length => PIECE.min(length - 1),
        };
        self.rest.split_to(length)
    }

    fn give(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(pieces) = &mut self.pieces {
            *pieces += 1;
            is_turn(Turn::Theirs(*pieces));
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// Tells the task that waits.
fn is_turn(turn: Turn) {
    // A body that is polled elsewhere has nobody who waits.
    let _ = TURN.try_with(|told| told.set(turn));
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.pieces.is_none() {
            return Pin::new(&mut this.body).poll_frame(context);
        }
        if this.rest.has_remaining() {
            let piece = this.piece();
            return this.give(Frame::data(piece));
        }
        is_turn(Turn::Ours);
        match std::task::ready!(Pin::new(&mut this.body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.len() > SMALL => {
                    this.rest = data;
                    let piece = this.piece();
                    this.give(Frame::data(piece))
                }
                Ok(data) => this.give(Frame::data(data)),
                Err(frame) => this.give(frame),
            },
            end => Poll::Ready(end),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

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
    pin::Pin,
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

/// The end of an answer has at least so many bytes: h2 counts smaller frames against whoever sends them, and a client that
/// is built on it would close the connection after a hundred (RUSTSEC-2026-0258).
const END: usize = 256;

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
        // In a box of its own: an async function that pins its argument has room for it twice, and this one lasts as long
        // as the stream.
        tokio::spawn(TURN.scope(Cell::new(Turn::Ours), patiently(Box::pin(stream))));
    }
}

async fn patiently(mut stream: Pin<Box<impl Future<Output = ()>>>) {
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

    fn give(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(pieces) = &mut self.pieces {
            *pieces += 1;
            is_turn(Turn::Theirs(*pieces));
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// Takes a piece of what is left. The end is a piece of its own: it is asked for when the peer's window has room for all
/// before it, so that what lies unread lies here and not in hyper.
fn piece(rest: &mut Bytes) -> Bytes {
    let length = match rest.len() {
        length if length < 2 * END => length,
        length => PIECE.min(length - END),
    };
    rest.split_to(length)
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
            let piece = piece(&mut this.rest);
            return this.give(Frame::data(piece));
        }
        is_turn(Turn::Ours);
        match std::task::ready!(Pin::new(&mut this.body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.len() > SMALL => {
                    this.rest = data;
                    let piece = piece(&mut this.rest);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_in_pieces_of_which_none_is_tiny() {
        for length in [SMALL + 1, PIECE, PIECE + 1, PIECE + END, PIECE + END + 1, PIECE + 2 * END, 100_000] {
            let whole: Bytes = (0..length).map(|nth| nth as u8).collect();
            let (mut rest, mut pieces) = (whole.clone(), Vec::new());
            while rest.has_remaining() {
                pieces.push(piece(&mut rest));
            }
            assert!(pieces.len() > 1 && pieces[pieces.len() - 1].len() < 2 * END, "{length}");
            assert!(pieces.iter().all(|piece| (END..=PIECE).contains(&piece.len())), "{length}");
            assert_eq!(pieces.concat(), whole);
        }
    }
}

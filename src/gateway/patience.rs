//! Nobody may leave answers unread for ever, which would keep them in memory.
//!
//! hyper takes a piece of a body and holds it until the peer's window has room for more; it asks for the next one only
//! then. So whose turn it is can be told from the body, but not waited for there: what is waited for is the task that
//! hyper makes of each stream, which is run by [`Patient`]. Where the peer is too far [`Behind`] the least rate the task is
//! dropped, and the stream is reset. A timer is made for those alone that have to be waited for.
//!
//! Streams of rooms are left to the hub, which sets them aside. On HTTP/1.1 it is the socket that is watched:
//! [`SendWatch`](super::send_watch::SendWatch).

use std::{
    cell::Cell,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

use super::{
    answer_memory::{AnswerMemory, Reservation},
    body::{Body, BoxError},
    least_rate::{Behind, LOOK},
    lent::read_on,
    request_watch::Answering,
    start_queue::StartQueue,
};
use crate::domain::Permit;

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
    /// A piece was given, and another one is not asked for. So many bytes were taken before it.
    Theirs(u64),
}

/// Marks an answer, in its extensions, that is left to somebody else when it is not read.
#[derive(Clone, Copy, Debug)]
pub(super) struct MayLieUnread;

/// Marks an answer, in its extensions, that is a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streaming;

/// What an answer holds until it is read: it goes with the answer's bytes. In the answer's extensions until its body is
/// paced. Clones hold the same.
#[derive(Clone, Default)]
pub(super) struct Held {
    permit: Option<Arc<Permit>>,
    memory: Option<Arc<Reservation>>,
}

impl Held {
    /// Returns what an answer holds.
    pub(super) fn in_answer<B>(response: &mut Response<B>) -> &mut Self {
        response.extensions_mut().get_or_insert_default()
    }

    /// Holds a memory reservation, for whoever makes an answer.
    pub(super) fn memory(reservation: Reservation) -> Self {
        Self { permit: None, memory: Some(Arc::new(reservation)) }
    }

    /// Holds a call's permit besides.
    pub(super) fn hold(&mut self, permit: Permit) {
        self.permit = Some(Arc::new(permit));
    }

    const fn is_empty(&self) -> bool {
        self.permit.is_none() && self.memory.is_none()
    }
}

/// Bytes of an answer, and what it holds.
struct HeldBytes {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Runs the streams of an HTTP/2 connection, each in a task of its own, for as long as their peers read.
#[derive(Clone)]
pub(super) struct Patient {
    memory: AnswerMemory,
    queue: StartQueue,
}

impl Patient {
    /// Runs the streams of a connection that has none yet, and may have so many at a time.
    pub(super) fn new(memory: AnswerMemory, streams: u32) -> Self {
        Self { memory, queue: StartQueue::new(streams as usize) }
    }
}

impl<F> Executor<F> for Patient
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // In a box of its own: an async function that pins its argument has room for it twice, and this one lasts as long
        // as the stream.
        let stream = patiently(Box::pin(stream), self.memory.clone());
        self.queue.start(read_on(TURN.scope(Cell::new(Turn::Ours), stream)));
    }
}

async fn patiently(mut stream: Pin<Box<impl Future<Output = ()>>>, memory: AnswerMemory) {
    let (mut behind, mut counted) = (Behind::default(), 0);
    let mut look = None;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Turn::Theirs(taken) = TURN.with(Cell::get) else {
            behind.ours();
            look = None;
            return Poll::Pending;
        };
        behind.took(taken - counted);
        counted = taken;
        behind.theirs();
        while let Some(end) = behind.deadline(memory.is_tight()) {
            // Memory may be tight before that.
            let next = || end.min(Instant::now() + LOOK);
            let look = look.get_or_insert_with(|| Box::pin(sleep_until(next())));
            std::task::ready!(look.as_mut().poll(context));
            if look.deadline() >= end {
                tracing::debug!(taken, "an answer was reset: it is not read");
                return Poll::Ready(());
            }
            look.as_mut().reset(next());
        }
        Poll::Pending
    })
    .await;
}

/// The body of an answer in pieces, which says whose turn it is.
pub(super) struct Paced {
    body: Body,
    /// What is left of the last frame.
    rest: Bytes,
    /// How many bytes were given; none where nobody counts.
    given: Option<u64>,
    held: Held,
    /// Over HTTP/1.1, until which the next request is not waited for.
    _answering: Option<Answering>,
}

impl Paced {
    /// Paces an answer, over HTTP/1.1 that to a request which is being answered until then.
    pub(super) fn new(mut response: Response<Body>, answering: Option<Answering>) -> Response<Self> {
        let is_counted = response.extensions().get::<MayLieUnread>().is_none();
        let held = response.extensions_mut().remove::<Held>().unwrap_or_default();
        // Without a task that waits, as on HTTP/1.1, there is no turn to tell.
        let given = (is_counted && TURN.try_with(|_| ()).is_ok()).then_some(0);
        response.map(|body| Self { body, rest: Bytes::new(), given, held, _answering: answering })
    }

    fn give(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(given) = &mut self.given {
            is_turn(Turn::Theirs(*given));
            *given += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Ties bytes to what the answer holds: they may lie in a buffer when the body is gone.
    fn tied(&self, bytes: Bytes) -> Bytes {
        if self.held.is_empty() || bytes.is_empty() {
            return bytes;
        }
        Bytes::from_owner(HeldBytes { bytes, _held: self.held.clone() })
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
        if this.given.is_none() {
            let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(context));
            return Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|bytes| this.tied(bytes)))));
        }
        if this.rest.has_remaining() {
            let piece = piece(&mut this.rest);
            return this.give(Frame::data(piece));
        }
        is_turn(Turn::Ours);
        match std::task::ready!(Pin::new(&mut this.body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.len() > SMALL => {
                    this.rest = this.tied(data);
                    let piece = piece(&mut this.rest);
                    this.give(Frame::data(piece))
                }
                Ok(data) => {
                    let data = this.tied(data);
                    this.give(Frame::data(data))
                }
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
    use std::time::Duration;

    use super::*;

    /// Serves an answer whose peer asks for a piece each time that so long has passed, and returns after how long it was
    /// reset.
    async fn reset_after(between: Duration, memory: AnswerMemory) -> Duration {
        let begun = Instant::now();
        let answer = async move {
            for piece in 0..999 {
                is_turn(Turn::Theirs(piece * PIECE as u64));
                tokio::time::sleep(between).await;
            }
        };
        TURN.scope(Cell::new(Turn::Ours), patiently(Box::pin(answer), memory)).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_piece_now_and_then_is_reset_all_the_same() {
        let (roomy, tight) = (AnswerMemory::new(1 << 26), AnswerMemory::new(1));
        let Ok(_all) = tight.connection(true).reserve(None, usize::MAX).await else { panic!("no memory") };
        let seconds = Duration::from_secs;
        for (between, memory, at_most) in [
            (seconds(3_600), &roomy, seconds(32)),
            (seconds(20), &roomy, seconds(36)),
            (seconds(3_600), &tight, seconds(7)),
            (seconds(4), &tight, seconds(16)),
        ] {
            let after = reset_after(between, memory.clone()).await;
            assert!(after <= at_most, "{between:?}: {after:?}");
        }
        // 16 KiB each second is fast enough.
        assert_eq!(reset_after(seconds(1), roomy).await, seconds(999));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_saves_up_no_time_by_reading_fast_and_an_idle_stream_is_never_late() {
        let begun = Instant::now();
        let hour = Duration::from_secs(3_600);
        let answer = async {
            for piece in 0..500 {
                is_turn(Turn::Theirs(piece * PIECE as u64));
                tokio::task::yield_now().await;
            }
            is_turn(Turn::Ours);
            tokio::time::sleep(hour).await;
            is_turn(Turn::Theirs(500 * PIECE as u64));
            std::future::pending::<()>().await;
        };
        let memory = AnswerMemory::new(1 << 26);
        TURN.scope(Cell::new(Turn::Ours), patiently(Box::pin(answer), memory)).await;
        assert_eq!(begun.elapsed(), hour + Duration::from_secs(30));
    }

    #[tokio::test]
    async fn memory_is_taken_until_the_last_of_an_answers_bytes_is_gone() {
        const LENGTH: usize = 100_000;
        let memory = AnswerMemory::new(1 << 26);
        let connection = memory.connection(true);
        let given = async || {
            let reservation = connection.reserve(None, LENGTH).await.unwrap();
            let body = Body::from(axum::body::Body::from(vec![b'x'; LENGTH]));
            let mut response = Response::new(body);
            *Held::in_answer(&mut response) = Held::memory(reservation);
            // As hyper does: it takes the frames, and has no use for the body then.
            let mut body = Box::pin(Paced::new(response, None).into_body());
            let mut pieces = Vec::new();
            while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
                pieces.push(frame.unwrap().into_data().unwrap());
            }
            pieces
        };
        for is_http2 in [false, true] {
            let mut pieces = match is_http2 {
                true => TURN.scope(Cell::new(Turn::Ours), given()).await,
                false => given().await,
            };
            let last = pieces.pop();
            drop(pieces);
            assert!(memory.taken() >= LENGTH, "the last piece lies somewhere");
            drop(last);
            assert_eq!(memory.taken(), 0);
        }
    }

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

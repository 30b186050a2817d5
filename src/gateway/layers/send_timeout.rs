//! Resets an HTTP/2 response whose peer falls behind the minimum data rate, and cuts responses into pieces.
//!
//! hyper takes a piece of a body, holds it until the peer's window has room, and only then asks for the next piece. So the
//! body knows whether hyper waits for the peer, but only the stream's task can run a timer. Therefore the body sets a
//! task-local [`Progress`]. The executor [`ResetUnread`] polls a timer beside each stream's task, and drops a late task,
//! which resets its stream.
//!
//! Rooms' streams are exempt: the hub parks them. Over HTTP/1.1 the writes to the socket are measured instead, by
//! [`Http1Writes`](super::super::http1_writes::Http1Writes).

use std::{
    cell::Cell,
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use http::{Request, Response, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};
use tower::Service;

use super::{start_queue::StartQueue, unread_request::read_rest_after};
use crate::gateway::{
    body::{Body, BoxError, Streaming},
    min_data_rate::{CHECK_INTERVAL, MinDataRate},
    peer::{Http1Response, Peer},
    response_guards::ResponseGuards,
    response_memory::ResponseMemory,
};

/// Size of a piece: one HTTP/2 frame.
const PIECE_BYTES: usize = 16 * 1024;

/// Minimum size of the last piece of a response. h2 counts smaller frames against their sender, and a client that uses it
/// closes the connection after a hundred of them (RUSTSEC-2026-0258).
const MIN_LAST_PIECE_BYTES: usize = 256;

/// Maximum size of a frame that is not cut.
const MAX_UNCUT_BYTES: usize = 1024;

tokio::task_local! {
    /// Progress of the response whose stream's task is being polled.
    static PROGRESS: Cell<Progress>;
}

/// What a response waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The server, which makes the next piece.
    Server,
    /// The peer, which has read `read` bytes, but not the last piece.
    Peer { read: u64 },
}

/// Paces the body of each response.
pub(in crate::gateway) fn pace<S, B>(
    (): &(),
    request: Request<B>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<PacedBody>, Infallible>> + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    let is_http1 = request.version() < Version::HTTP_2;
    let peer = request.extensions().get::<Peer>().filter(|_| is_http1);
    let (writes, http1_response) = (peer.map(|peer| peer.writes.clone()), peer.map(Peer::request_arrived));
    let future = inner.call(request);
    async move {
        let response = future.await?;
        let streaming = Streaming::of(&response);
        if let Some(writes) = writes {
            writes.set_exempt(streaming == Some(Streaming::Room));
            writes.set_stream(streaming.is_some());
        }
        Ok(PacedBody::new(response, http1_response))
    }
}

/// The executor of an HTTP/2 connection: runs each stream as a task, and drops the task when the peer is late.
#[derive(Clone)]
pub(in crate::gateway) struct ResetUnread {
    memory: ResponseMemory,
    queue: StartQueue,
}

impl ResetUnread {
    /// Makes the executor of a connection that may have `max_streams` open.
    pub(in crate::gateway) fn new(memory: ResponseMemory, max_streams: u32) -> Self {
        Self { memory, queue: StartQueue::new(max_streams as usize) }
    }
}

impl<F> Executor<F> for ResetUnread
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // Boxed: an async function that pins its argument stores it twice.
        let stream = reset_unread(Box::pin(stream), self.memory.clone());
        self.queue.start(read_rest_after(PROGRESS.scope(Cell::new(Progress::Server), stream)));
    }
}

async fn reset_unread(mut stream: Pin<Box<impl Future<Output = ()>>>, memory: ResponseMemory) {
    let (mut rate, mut counted) = (MinDataRate::default(), 0);
    // Most responses never need a timer.
    let mut timer = None;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Progress::Peer { read } = PROGRESS.with(Cell::get) else {
            rate.stop_waiting();
            timer = None;
            return Poll::Pending;
        };
        rate.add_read(read - counted);
        counted = read;
        rate.start_waiting();
        while let Some(deadline) = rate.deadline(memory.is_scarce()) {
            // Memory may become scarce before the deadline.
            let next_check = || deadline.min(Instant::now() + CHECK_INTERVAL);
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(next_check())));
            std::task::ready!(timer.as_mut().poll(context));
            if timer.deadline() >= deadline {
                tracing::debug!(read, "a response is not read: its stream was reset");
                return Poll::Ready(());
            }
            timer.as_mut().reset(next_check());
        }
        Poll::Pending
    })
    .await;
}

/// The body of a response in pieces, which sets [`PROGRESS`].
pub(in crate::gateway) struct PacedBody {
    body: Body,
    /// The bytes of the last frame that are not emitted yet.
    rest: Bytes,
    /// How many bytes hyper has got; none where the rate is not measured here.
    emitted: Option<u64>,
    guards: ResponseGuards,
    _http1_response: Option<Http1Response>,
}

impl PacedBody {
    fn new(mut response: Response<Body>, http1_response: Option<Http1Response>) -> Response<Self> {
        let is_exempt = Streaming::of(&response) == Some(Streaming::Room);
        let guards = response.extensions_mut().remove::<ResponseGuards>().unwrap_or_default();
        // HTTP/1.1 has no task for each stream.
        let emitted = (!is_exempt && PROGRESS.try_with(|_| ()).is_ok()).then_some(0);
        response.map(|body| Self {
            body,
            rest: Bytes::new(),
            emitted,
            guards,
            _http1_response: http1_response,
        })
    }

    fn emit(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(emitted) = &mut self.emitted {
            set_progress(Progress::Peer { read: *emitted });
            *emitted += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// Splits off a piece. hyper asks for the last piece only when the peer's window has room for the others, so most unread
/// bytes stay here, where they hold their memory.
fn split_piece(rest: &mut Bytes) -> Bytes {
    let length = match rest.len() {
        length if length < 2 * MIN_LAST_PIECE_BYTES => length,
        length => PIECE_BYTES.min(length - MIN_LAST_PIECE_BYTES),
    };
    rest.split_to(length)
}

/// Sets the progress of the stream whose task is being polled, if there is one.
fn set_progress(progress: Progress) {
    let _ = PROGRESS.try_with(|current| current.set(progress));
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.emitted.is_none() {
            let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(context));
            return Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|bytes| this.guards.attach(bytes)))));
        }
        if this.rest.has_remaining() {
            let piece = split_piece(&mut this.rest);
            return this.emit(Frame::data(piece));
        }
        set_progress(Progress::Server);
        match std::task::ready!(Pin::new(&mut this.body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.len() > MAX_UNCUT_BYTES => {
                    this.rest = this.guards.attach(data);
                    let piece = split_piece(&mut this.rest);
                    this.emit(Frame::data(piece))
                }
                Ok(data) => {
                    let data = this.guards.attach(data);
                    this.emit(Frame::data(data))
                }
                Err(frame) => this.emit(frame),
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

    /// Sends a response to a peer that reads a piece at each `interval`. Returns after how long it was reset.
    async fn reset_after(interval: Duration, memory: ResponseMemory) -> Duration {
        let started = Instant::now();
        let response = async move {
            for piece in 0..999 {
                set_progress(Progress::Peer { read: piece * PIECE_BYTES as u64 });
                tokio::time::sleep(interval).await;
            }
        };
        PROGRESS.scope(Cell::new(Progress::Server), reset_unread(Box::pin(response), memory)).await;
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_too_slowly_is_reset() {
        let (ample, scarce) = (ResponseMemory::new(1 << 26), ResponseMemory::new(1));
        let Ok(_all) = scarce.shared_connection().reserve(None, usize::MAX).await else {
            panic!("no memory")
        };
        let seconds = Duration::from_secs;
        for (interval, memory, at_most) in [
            (seconds(3_600), &ample, seconds(32)),
            (seconds(20), &ample, seconds(36)),
            (seconds(3_600), &scarce, seconds(7)),
            (seconds(4), &scarce, seconds(16)),
        ] {
            let after = reset_after(interval, memory.clone()).await;
            assert!(after <= at_most, "{interval:?}: {after:?}");
        }
        // 16 KiB each second is fast enough.
        assert_eq!(reset_after(seconds(1), ample).await, seconds(999));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_saves_up_no_time_by_reading_fast_and_an_idle_stream_is_never_late() {
        let started = Instant::now();
        let hour = Duration::from_secs(3_600);
        let response = async {
            for piece in 0..500 {
                set_progress(Progress::Peer { read: piece * PIECE_BYTES as u64 });
                tokio::task::yield_now().await;
            }
            set_progress(Progress::Server);
            tokio::time::sleep(hour).await;
            set_progress(Progress::Peer { read: 500 * PIECE_BYTES as u64 });
            std::future::pending::<()>().await;
        };
        let memory = ResponseMemory::new(1 << 26);
        PROGRESS.scope(Cell::new(Progress::Server), reset_unread(Box::pin(response), memory)).await;
        assert_eq!(started.elapsed(), hour + Duration::from_secs(30));
    }

    #[tokio::test]
    async fn memory_is_reserved_until_the_last_byte_of_a_response_is_dropped() {
        const LENGTH: usize = 100_000;
        let memory = ResponseMemory::new(1 << 26);
        let connection = memory.shared_connection();
        let emitted = async || {
            let reservation = connection.reserve(None, LENGTH).await.unwrap();
            let body = Body::from(axum::body::Body::from(vec![b'x'; LENGTH]));
            let mut response = Response::new(body);
            *ResponseGuards::of(&mut response) = ResponseGuards::memory(reservation);
            // As hyper does, which takes the frames and drops the body.
            let mut body = Box::pin(PacedBody::new(response, None).into_body());
            let mut pieces = Vec::new();
            while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
                pieces.push(frame.unwrap().into_data().unwrap());
            }
            pieces
        };
        for is_http2 in [false, true] {
            let mut pieces = match is_http2 {
                true => PROGRESS.scope(Cell::new(Progress::Server), emitted()).await,
                false => emitted().await,
            };
            let last = pieces.pop();
            drop(pieces);
            assert!(memory.reserved() >= LENGTH, "the last piece is still held");
            drop(last);
            assert_eq!(memory.reserved(), 0);
        }
    }

    #[test]
    fn no_piece_of_a_response_is_tiny() {
        for length in [
            MAX_UNCUT_BYTES + 1,
            PIECE_BYTES,
            PIECE_BYTES + 1,
            PIECE_BYTES + MIN_LAST_PIECE_BYTES,
            PIECE_BYTES + MIN_LAST_PIECE_BYTES + 1,
            PIECE_BYTES + 2 * MIN_LAST_PIECE_BYTES,
            100_000,
        ] {
            let whole: Bytes = (0..length).map(|nth| nth as u8).collect();
            let (mut rest, mut pieces) = (whole.clone(), Vec::new());
            while rest.has_remaining() {
                pieces.push(split_piece(&mut rest));
            }
            assert!(
                pieces.len() > 1 && pieces[pieces.len() - 1].len() < 2 * MIN_LAST_PIECE_BYTES,
                "{length}"
            );
            assert!(
                pieces.iter().all(|piece| (MIN_LAST_PIECE_BYTES..=PIECE_BYTES).contains(&piece.len())),
                "{length}"
            );
            assert_eq!(pieces.concat(), whole);
        }
    }
}

//! Sends the body of a response, and resets the stream of a peer that falls behind the minimum data rate.
//!
//! A body is sent in pieces, each once the peer's window has room. So unread bytes stay here, where they hold their memory.
//!
//! Rooms' streams are exempt from the rate: the hub parks them. Over HTTP/1.1 the writes to the socket are measured instead,
//! by [`Http1Writes`](crate::gateway::http1_writes::Http1Writes).

use std::{
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::gateway::{
    body::BoxError,
    min_data_rate::{CHECK_INTERVAL, MinDataRate},
    response_memory::ResponseMemory,
};

/// Size of a piece: one HTTP/2 frame.
const PIECE_BYTES: usize = 16 * 1024;

/// Minimum size of the last piece of a response. h2 counts smaller frames against their sender, and a client that uses it
/// closes the connection after a hundred of them (RUSTSEC-2026-0258).
const MIN_LAST_PIECE_BYTES: usize = 256;

/// Maximum size of a frame that is not cut.
const MAX_UNCUT_BYTES: usize = 1024;

/// A body that is sent. As a future it ends with the body or with the stream. Dropping it earlier resets the stream.
pub(super) struct BodySender<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// The piece to be sent next.
    piece: Bytes,
    /// What follows the piece.
    rest: Bytes,
    /// None where the body is exempt.
    pace: Option<Pace>,
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> BodySender<B> {
    /// Sends a body. With the memory of all responses, its peer has to read at the minimum rate.
    pub(super) fn new(body: B, stream: SendStream<Bytes>, memory: Option<ResponseMemory>) -> Self {
        Self { body, stream, piece: Bytes::new(), rest: Bytes::new(), pace: memory.map(Pace::new) }
    }

    /// Takes a frame of the body. Rooms' frames are not cut, since the hub limits their size.
    fn take(&mut self, frame: Bytes) {
        if self.pace.is_none() || frame.len() <= MAX_UNCUT_BYTES {
            self.piece = frame;
        } else {
            self.rest = frame;
            self.piece = split_piece(&mut self.rest);
        }
    }

    /// Sends the piece once the peer's window has room: what the window covers, or the frames of a room as a whole. Returns
    /// whether that was the last.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, h2::Error>> {
        // Asks for one byte, so that a waiting stream takes nothing from the connection's window.
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Err(Reason::CANCEL.into())),
                Poll::Pending => {
                    let Some(pace) = &mut self.pace else { return Poll::Pending };
                    ready!(pace.poll_late(context));
                    tracing::debug!("a response is not read: its stream is reset");
                    return Poll::Ready(Err(Reason::CANCEL.into()));
                }
            }
        }
        let mut piece = std::mem::take(&mut self.piece);
        if let Some(pace) = &mut self.pace {
            self.stream.reserve_capacity(piece.len());
            // h2 holds nothing that the window does not cover, so the peer is late with the last byte too.
            self.piece = piece.split_off(self.stream.capacity().min(piece.len()));
            pace.sent += piece.len() as u64;
        }
        if self.piece.is_empty() {
            self.piece = split_piece(&mut self.rest);
        }
        let is_last = self.piece.is_empty() && self.body.is_end_stream();
        self.stream.send_data(piece, is_last)?;
        Poll::Ready(Ok(is_last))
    }
}

/// Splits off a piece.
fn split_piece(rest: &mut Bytes) -> Bytes {
    let length = match rest.len() {
        length if length < 2 * MIN_LAST_PIECE_BYTES => length,
        length => PIECE_BYTES.min(length - MIN_LAST_PIECE_BYTES),
    };
    rest.split_to(length)
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Future for BodySender<B> {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let this = &mut *self;
        // Takes the waker that the last poll has left. Otherwise h2 would wake this task again as soon as it assigns capacity
        // to the stream below, and each delivery would be two polls.
        if let Poll::Ready(reset) = this.stream.poll_reset(&mut Context::from_waker(Waker::noop())) {
            return Poll::Ready(Err(reset?.into()));
        }
        loop {
            if !this.piece.is_empty() {
                if ready!(this.poll_send(context))? {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Pending => {
                    if let Some(pace) = &mut this.pace {
                        pace.stop_waiting();
                    }
                    return this.stream.poll_reset(context).map(|reset| Err(reset?.into()));
                }
                Poll::Ready(None) => return Poll::Ready(this.stream.send_data(Bytes::new(), true)),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "the body of a response failed: its stream is reset");
                    this.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(Err(Reason::INTERNAL_ERROR.into()));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.take(data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return Poll::Ready(this.stream.send_trailers(trailers));
                    }
                },
            }
        }
    }
}

/// How fast the peer reads a body.
struct Pace {
    rate: MinDataRate,
    /// How many bytes were sent that the rate has not counted.
    sent: u64,
    memory: ResponseMemory,
    /// Most responses never need it.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(memory: ResponseMemory) -> Self {
        Self { rate: MinDataRate::default(), sent: 0, memory, timer: None }
    }

    /// Notes that the server has nothing to send.
    fn stop_waiting(&mut self) {
        self.rate.stop_waiting();
        self.timer = None;
    }

    /// Waits for a peer that has to read. Ready once it is late.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.rate.add_read(std::mem::take(&mut self.sent));
        self.rate.start_waiting();
        while let Some(deadline) = self.rate.deadline(self.memory.is_scarce()) {
            // Memory may become scarce before the deadline.
            let next_check = || deadline.min(Instant::now() + CHECK_INTERVAL);
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(next_check())));
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(next_check());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use futures_util::{Stream, stream};
    use h2::client;
    use http::{Request, Response};
    use tokio::{
        sync::mpsc,
        time::{sleep, timeout},
    };

    use super::*;
    use crate::gateway::body;

    const FRAME: Bytes = Bytes::from_static(&[b'x'; PIECE_BYTES]);

    /// Sends `frames` over HTTP/2 to a peer that pauses for `interval` before it reads one, for `reads` of them. Returns how
    /// the response ended, and after how long.
    async fn send(
        frames: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
        memory: Option<ResponseMemory>,
        (interval, reads): (Duration, usize),
    ) -> (Result<(), h2::Error>, Duration) {
        let started = Instant::now();
        let (near, far) = tokio::io::duplex(1 << 20);
        let peer = tokio::spawn(async move {
            let mut builder = client::Builder::new();
            let handshake = builder.initial_window_size(PIECE_BYTES as u32).handshake::<_, Bytes>(far);
            let (mut requests, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            let (response, _) = requests.send_request(Request::new(()), true).unwrap();
            let mut body = response.await.unwrap().into_body();
            for _ in 0..reads {
                sleep(interval).await;
                let Some(Ok(piece)) = body.data().await else { return };
                body.flow_control().release_capacity(piece.len()).unwrap();
            }
            std::future::pending::<()>().await;
        });
        let mut connection = h2::server::handshake(near).await.unwrap();
        let (_, mut reply) = connection.accept().await.unwrap().unwrap();
        let stream = reply.send_response(Response::new(()), false).unwrap();
        let body = body::Body::from(axum::body::Body::from_stream(frames));
        let sending = tokio::spawn(BodySender::new(body, stream, memory));
        let outcome = tokio::select! {
            outcome = sending => outcome.unwrap(),
            _ = connection.accept() => panic!("the connection has ended"),
        };
        peer.abort();
        (outcome, started.elapsed())
    }

    /// Sends 500 frames, which are a thousand pieces, at a minimum rate.
    async fn send_many(interval: Duration, memory: &ResponseMemory) -> (Result<(), h2::Error>, Duration) {
        let frames = stream::iter(std::iter::repeat_with(|| Ok(FRAME)).take(500));
        send(frames, Some(memory.clone()), (interval, usize::MAX)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_too_slowly_is_reset() {
        let (ample, scarce) = (ResponseMemory::new(1 << 26), ResponseMemory::new(1));
        let Ok(_all) = scarce.shared_connection().reserve(None, usize::MAX).await else {
            panic!("no memory")
        };
        let seconds = Duration::from_secs;
        for (interval, memory, range) in [
            (seconds(3_600), &ample, seconds(30)..=seconds(32)),
            (seconds(20), &ample, seconds(30)..=seconds(36)),
            (seconds(3_600), &scarce, seconds(5)..=seconds(7)),
            (seconds(4), &scarce, seconds(5)..=seconds(16)),
        ] {
            let (outcome, after) = send_many(interval, memory).await;
            assert!(outcome.is_err() && range.contains(&after), "{interval:?}: {outcome:?} after {after:?}");
        }
        // 16 KiB every two seconds is fast enough.
        let (outcome, after) = send_many(seconds(1), &ample).await;
        assert!(outcome.is_ok() && after >= seconds(998), "{outcome:?} after {after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_saves_up_no_time_by_reading_fast_and_an_idle_stream_is_never_late() {
        // Each frame is cut in two.
        const FRAMES: usize = 250;
        let hour = Duration::from_secs(3_600);
        let frames = stream::unfold(0, move |nth| async move {
            if nth == FRAMES {
                sleep(hour).await;
            }
            Some((Ok(FRAME), nth + 1))
        });
        let (outcome, after) =
            send(frames, Some(ResponseMemory::new(1 << 26)), (Duration::ZERO, 2 * FRAMES)).await;
        assert!(outcome.is_err(), "{outcome:?}");
        assert_eq!(after, hour + Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_whose_window_lacks_the_last_byte_is_reset() {
        let frame = Bytes::from(vec![b'x'; PIECE_BYTES + 1]);
        let frames = stream::iter([Ok(frame)]);
        let (outcome, after) = send(frames, Some(ResponseMemory::new(1 << 26)), (Duration::ZERO, 0)).await;
        assert!(outcome.is_err(), "{outcome:?}");
        assert_eq!(after, Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_s_stream_is_never_late() {
        let hour = Duration::from_secs(3_600);
        let frames = stream::repeat_with(|| Ok(FRAME));
        let sending = send(frames, None, (hour, usize::MAX));
        assert!(timeout(100 * hour, sending).await.is_err());
    }

    /// A body that counts how often it is polled.
    struct Counted(mpsc::Receiver<Bytes>, Arc<AtomicUsize>);

    impl Body for Counted {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.poll_recv(context).map(|data| data.map(|data| Ok(http_body::Frame::data(data))))
        }
    }

    #[tokio::test]
    async fn a_delivery_wakes_its_stream_once() {
        const DELIVERIES: usize = 50;
        let (near, far) = tokio::io::duplex(1 << 20);
        let (read, mut was_read) = mpsc::channel(1);
        let peer = tokio::spawn(async move {
            let (mut requests, connection) = client::handshake(far).await.unwrap();
            tokio::spawn(connection);
            let (response, _) = requests.send_request(Request::new(()), true).unwrap();
            let mut body = response.await.unwrap().into_body();
            while let Some(data) = body.data().await {
                body.flow_control().release_capacity(data.unwrap().len()).unwrap();
                read.send(()).await.unwrap();
            }
        });
        let mut connection = h2::server::handshake(near).await.unwrap();
        let (_, mut reply) = connection.accept().await.unwrap().unwrap();
        let stream = reply.send_response(Response::new(()), false).unwrap();
        let (frames, body) = mpsc::channel(1);
        let polls = Arc::new(AtomicUsize::new(0));
        let sending = tokio::spawn(BodySender::new(Counted(body, Arc::clone(&polls)), stream, None));
        let connection = tokio::spawn(async move { while connection.accept().await.is_some() {} });
        for _ in 0..DELIVERIES {
            frames.send(Bytes::from_static(b"delivery")).await.unwrap();
            was_read.recv().await.unwrap();
        }
        // Each is polled for a frame, and again until the next. The last poll is the one before the end.
        assert!(polls.load(Ordering::Relaxed) <= 2 * DELIVERIES + 1, "{polls:?}");
        drop(frames);
        sending.await.unwrap().unwrap();
        peer.await.unwrap();
        connection.abort();
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
            while !rest.is_empty() {
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

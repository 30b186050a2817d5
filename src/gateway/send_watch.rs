//! How fast the peer of an HTTP/1.1 connection takes what it asked for, and whether it is still there.
//!
//! HTTP/1.1 has one answer at a time, all of which may lie in hyper's buffer while the socket takes nothing. So it is the
//! socket that is watched: while it takes no more, the peer has to read at a least rate ([`Behind`]), or the connection is
//! closed.
//!
//! A peer that has asked for all it wants may close its side before it is answered: it is answered all the same, and hyper
//! does not look. To somebody who left, a stream would go on until the next write fails: there the end of what the peer
//! sends is the end of the stream.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{least_rate::Behind, request_watch::RequestWatch};

/// What is known of a connection's sending. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct SendWatch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// How far the peer is behind: it is its turn while the socket has not taken all that there is.
    behind: Behind,
    /// Whether the answer is left to somebody else when it is not read.
    is_exempt: bool,
    /// Whether the answer is a stream, which ends with what its peer sends.
    is_stream: bool,
    /// Who is to be told of the peer's end when all is sent.
    reader: Option<Waker>,
}

impl SendWatch {
    /// Says whether the answer that begins is left to somebody else when it is not read.
    pub(super) fn exempt(&self, is_exempt: bool) {
        let mut state = self.0.lock();
        if state.is_exempt && !is_exempt {
            // What it did not read meanwhile was not looked at.
            state.behind.forgive();
        }
        state.is_exempt = is_exempt;
    }

    /// Says whether the answer that begins is a stream, which is nobody's once its peer has closed.
    pub(super) fn stream(&self, is_stream: bool) {
        self.0.lock().is_stream = is_stream;
    }

    fn is_stream(&self) -> bool {
        self.0.lock().is_stream
    }

    /// Says whether the peer's end may be told: hyper forgets what the socket has not taken by then.
    fn poll_sent(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if !state.behind.is_theirs() {
            return Poll::Ready(());
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Says whether the socket has not taken all that there is.
    pub(super) fn is_unsent(&self) -> bool {
        self.0.lock().behind.is_theirs()
    }

    /// Returns by when the peer must have read more; none where it is not its turn.
    pub(super) fn deadline(&self, is_tight: bool) -> Option<Instant> {
        let state = self.0.lock();
        state.behind.deadline(is_tight).filter(|_| !state.is_exempt)
    }

    fn wrote(&self, offered: usize, taken: &Poll<io::Result<usize>>) {
        let mut state = self.0.lock();
        match taken {
            Poll::Pending => state.behind.theirs(),
            Poll::Ready(Ok(count)) => {
                state.behind.took(*count as u64);
                if *count >= offered {
                    state.sent_all();
                }
            }
            Poll::Ready(Err(_)) => {}
        }
    }

    /// Counts what was written and lies in TLS.
    fn flushed(&self, done: &Poll<io::Result<()>>) {
        let mut state = self.0.lock();
        match done {
            Poll::Pending => state.behind.theirs(),
            Poll::Ready(Ok(())) => state.sent_all(),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl State {
    fn sent_all(&mut self) {
        self.behind.ours();
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// A stream whose sending is watched.
#[derive(Debug)]
pub(super) struct Watched<T> {
    io: T,
    watch: SendWatch,
    requests: RequestWatch,
    /// What came while a stream was watched: the next request. Never more than [`AHEAD`].
    ahead: Vec<u8>,
    has_ended: bool,
}

/// How much of the next request is taken while a stream is under way.
const AHEAD: usize = 1024;

impl<T> Watched<T> {
    /// Watches a stream.
    pub(super) const fn new(io: T, watch: SendWatch, requests: RequestWatch) -> Self {
        Self { io, watch, requests, ahead: Vec::new(), has_ended: false }
    }

    /// Returns the stream.
    pub(super) fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + Unpin> Watched<T> {
    /// Notes that something is sent: what was not sent before, the next request waits for.
    fn send(&self) {
        if self.watch.is_unsent() {
            self.requests.put_off();
        }
    }

    /// Looks whether the peer of a stream has closed, and is woken when it does.
    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.watch.is_stream() && self.ahead.len() < AHEAD {
            let mut bytes = [0; AHEAD];
            let mut buffer = ReadBuf::new(&mut bytes[self.ahead.len()..]);
            if !self.has_ended {
                match Pin::new(&mut self.io).poll_read(context, &mut buffer)? {
                    Poll::Ready(()) => self.has_ended = buffer.filled().is_empty(),
                    Poll::Pending => return Ok(()),
                }
            }
            if self.has_ended {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the peer of a stream has closed"));
            }
            self.ahead.extend_from_slice(buffer.filled());
        }
        Ok(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = buffer.remaining().min(self.ahead.len());
            buffer.put_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            self.requests.read();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if !self.has_ended {
            std::task::ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
            self.has_ended = buffer.filled().len() == before && buffer.remaining() > 0;
        }
        if self.has_ended {
            std::task::ready!(self.watch.poll_sent(context));
        } else {
            self.requests.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.send();
        let taken = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watch.wrote(bytes.len(), &taken);
        taken
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(context)?;
        self.send();
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.watch.flushed(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.send();
        let taken = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.watch.wrote(slices.iter().map(|slice| slice.len()).sum(), &taken);
        taken
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::advance,
    };
    use tokio_util::sync::CancellationToken;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watched<T>(io: T, watch: &SendWatch) -> Watched<T> {
        Watched::new(io, watch.clone(), RequestWatch::new(SECOND, CancellationToken::new()))
    }

    /// Offers buffers of a kilobyte to a peer that takes each of them whole, so long after it was offered. Returns when the
    /// peer was late.
    async fn late_after(each: Duration) -> Option<Duration> {
        const BUFFER: [u8; 1024] = [0; 1024];
        let (mut peer, ours) = duplex(BUFFER.len());
        let (begun, watch) = (Instant::now(), SendWatch::default());
        let mut ours = watched(ours, &watch);
        ours.write_all(&BUFFER).await.unwrap();
        for _ in 0..1_000 {
            let mut writing = Box::pin(ours.write_all(&BUFFER));
            assert!((&mut writing).now_or_never().is_none());
            advance(each).await;
            if watch.deadline(false).is_some_and(|deadline| deadline <= Instant::now()) {
                return Some(begun.elapsed());
            }
            peer.read_exact(&mut BUFFER.clone()).await.unwrap();
            writing.await.unwrap();
            assert_eq!(watch.deadline(false), None, "all of it was taken");
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_each_buffer_whole_but_drips_is_late() {
        assert_eq!(late_after(SECOND * 5).await, Some(SECOND * 35));
        assert_eq!(late_after(SECOND).await, Some(SECOND * 35));
        assert_eq!(late_after(SECOND / 8).await, None, "8 KiB each second");
    }

    /// Takes whatever is written, and sends it when it is told to, as TLS does.
    struct Buffering {
        sends: bool,
    }

    impl AsyncWrite for Buffering {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.sends { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Buffering {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_tls_has_not_sent_is_not_taken() {
        let watch = SendWatch::default();
        let mut ours = watched(Buffering { sends: false }, &watch);
        ours.write_all(&[0; 1024]).await.unwrap();
        assert!(ours.flush().now_or_never().is_none());
        assert_eq!(watch.deadline(false), Some(Instant::now() + SECOND * 30));
        advance(SECOND * 10).await;
        assert!(ours.flush().now_or_never().is_none());
        assert_eq!(watch.deadline(false), Some(Instant::now() + SECOND * 20));
        ours.io.sends = true;
        ours.flush().await.unwrap();
        assert_eq!(watch.deadline(false), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_has_a_deadline_until_all_is_taken() {
        let (mut peer, ours) = duplex(100);
        let watch = SendWatch::default();
        let mut ours = watched(ours, &watch);
        ours.write_all(&[0; 100]).await.unwrap();
        assert_eq!(watch.deadline(false), None, "all of it was taken");
        let writing = tokio::spawn(async move { ours.write_all(&[0; 50]).await.map(|()| ours) });
        tokio::task::yield_now().await;
        let deadline = watch.deadline(false).expect("it is the peer's turn");
        assert!(watch.deadline(true).is_some_and(|sooner| sooner < deadline));
        advance(Duration::from_secs(10)).await;
        assert_eq!(watch.deadline(false), Some(deadline), "waiting does not put it off");
        watch.exempt(true);
        assert_eq!(watch.deadline(false), None);
        let answering = RequestWatch::new(SECOND, CancellationToken::new()).begin(watch.clone());
        assert_eq!(watch.deadline(false), None);
        drop(answering);
        let forgiven = watch.deadline(false).expect("the stream has ended, and its end is to be read");
        assert!(forgiven > deadline);
        peer.read_exact(&mut [0; 150]).await.unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(watch.deadline(false), None);
    }
}

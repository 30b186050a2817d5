//! How fast the peer of an HTTP/1.1 connection takes what it asked for, and whether it is still there.
//!
//! HTTP/1.1 has one answer at a time, all of which may lie in hyper's buffer while the socket takes nothing. So it is the
//! socket that is watched: once it takes no more, the peer has to read at a least rate, or the connection is closed.
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

use super::patience::allowed;

/// What is known of a connection's sending. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct SendWatch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Since when the socket has not taken all that there is.
    blocked: Option<Instant>,
    /// What it has taken since.
    sent: u64,
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
        self.0.lock().is_exempt = is_exempt;
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
        if state.blocked.is_none() {
            return Poll::Ready(());
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Returns by when the peer must have read more; none where it is not its turn.
    pub(super) fn deadline(&self, is_tight: bool) -> Option<Instant> {
        let state = self.0.lock();
        let since = state.blocked.filter(|_| !state.is_exempt)?;
        Some(since + allowed(state.sent, is_tight))
    }

    fn wrote(&self, offered: usize, taken: &Poll<io::Result<usize>>) {
        let mut state = self.0.lock();
        match taken {
            Poll::Pending => {
                state.blocked.get_or_insert_with(Instant::now);
            }
            Poll::Ready(Ok(count)) if *count >= offered => {
                state.blocked = None;
                state.sent = 0;
                if let Some(reader) = state.reader.take() {
                    reader.wake();
                }
            }
            Poll::Ready(Ok(count)) => state.sent += *count as u64,
            Poll::Ready(Err(_)) => {}
        }
    }
}

/// A stream whose sending is watched.
#[derive(Debug)]
pub(super) struct Watched<T> {
    io: T,
    watch: SendWatch,
    /// What came while a stream was watched: the next request. Never more than [`AHEAD`].
    ahead: Vec<u8>,
    has_ended: bool,
}

/// How much of the next request is taken while a stream is under way.
const AHEAD: usize = 1024;

impl<T> Watched<T> {
    /// Watches a stream.
    pub(super) const fn new(io: T, watch: SendWatch) -> Self {
        Self { io, watch, ahead: Vec::new(), has_ended: false }
    }

    /// Returns the stream.
    pub(super) fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + Unpin> Watched<T> {
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
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if !self.has_ended {
            std::task::ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
            self.has_ended = buffer.filled().len() == before && buffer.remaining() > 0;
        }
        if self.has_ended {
            std::task::ready!(self.watch.poll_sent(context));
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
        let taken = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watch.wrote(bytes.len(), &taken);
        taken
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(context)?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::advance,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_has_a_deadline_until_all_is_taken() {
        let (mut peer, ours) = duplex(100);
        let watch = SendWatch::default();
        let mut ours = Watched::new(ours, watch.clone());
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
        watch.exempt(false);
        peer.read_exact(&mut [0; 150]).await.unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(watch.deadline(false), None);
    }
}

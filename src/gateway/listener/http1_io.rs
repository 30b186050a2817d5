//! The socket of an HTTP/1.1 connection, which reports its reads and writes to [`Http1Writes`] and [`KeepAlive`].
//!
//! A peer may close its sending side before it has read the response, and still gets the response. A stream ends when its
//! peer closes its sending side: otherwise it would go on until a write fails.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gateway::{http1_writes::Http1Writes, keep_alive::KeepAlive};

/// A socket whose reads and writes are reported.
#[derive(Debug)]
pub(super) struct Http1Io<T> {
    io: T,
    writes: Http1Writes,
    keep_alive: KeepAlive,
    /// Bytes of the next request that arrived during a stream; at most [`MAX_READ_AHEAD`].
    read_ahead: Vec<u8>,
    /// Whether the peer has closed its sending side.
    has_ended: bool,
}

/// Maximum number of bytes of the next request that are read during a stream.
const MAX_READ_AHEAD: usize = 1024;

impl<T> Http1Io<T> {
    /// Wraps a socket.
    pub(super) const fn new(io: T, writes: Http1Writes, keep_alive: KeepAlive) -> Self {
        Self { io, writes, keep_alive, read_ahead: Vec::new(), has_ended: false }
    }

    /// Returns the socket.
    pub(super) fn into_inner(self) -> T {
        self.io
    }

    /// Restarts the wait for the next request while the response before it is still being sent.
    fn note_write(&self) {
        if self.writes.is_blocked() {
            self.keep_alive.postpone();
        }
    }
}

impl<T: AsyncRead + Unpin> Http1Io<T> {
    /// Fails where the peer of a stream has closed its sending side. Wakes the task when it does.
    fn check_peer(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.writes.is_stream() && self.read_ahead.len() < MAX_READ_AHEAD {
            let mut bytes = [0; MAX_READ_AHEAD];
            let mut buffer = ReadBuf::new(&mut bytes[self.read_ahead.len()..]);
            if !self.has_ended {
                match Pin::new(&mut self.io).poll_read(context, &mut buffer)? {
                    Poll::Ready(()) => self.has_ended = buffer.filled().is_empty(),
                    Poll::Pending => return Ok(()),
                }
            }
            if self.has_ended {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the peer of a stream has closed"));
            }
            self.read_ahead.extend_from_slice(buffer.filled());
        }
        Ok(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Http1Io<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read_ahead.is_empty() {
            let count = buffer.remaining().min(self.read_ahead.len());
            buffer.put_slice(&self.read_ahead[..count]);
            self.read_ahead.drain(..count);
            self.keep_alive.received();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if !self.has_ended {
            std::task::ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
            self.has_ended = buffer.filled().len() == before && buffer.remaining() > 0;
        }
        if self.has_ended {
            // At the end of input hyper drops the bytes that the socket has not accepted.
            std::task::ready!(self.writes.poll_written(context));
        } else {
            self.keep_alive.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Http1Io<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.note_write();
        let accepted = Pin::new(&mut self.io).poll_write(context, bytes);
        self.writes.wrote(bytes.len(), &accepted);
        accepted
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_peer(context)?;
        self.note_write();
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.writes.flushed(&flushed);
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
        self.note_write();
        let accepted = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.writes.wrote(slices.iter().map(|slice| slice.len()).sum(), &accepted);
        accepted
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
        time::{Instant, advance},
    };
    use tokio_util::sync::CancellationToken;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wrapped<T>(io: T, writes: &Http1Writes) -> Http1Io<T> {
        Http1Io::new(io, writes.clone(), KeepAlive::new(SECOND, CancellationToken::new()))
    }

    /// Writes buffers of 1 KiB to a peer that reads each of them `each` after it was written. Returns when the peer was late.
    async fn late_after(each: Duration) -> Option<Duration> {
        const BUFFER: [u8; 1024] = [0; 1024];
        let (mut peer, ours) = duplex(BUFFER.len());
        let (begun, writes) = (Instant::now(), Http1Writes::default());
        let mut ours = wrapped(ours, &writes);
        ours.write_all(&BUFFER).await.unwrap();
        for _ in 0..1_000 {
            let mut writing = Box::pin(ours.write_all(&BUFFER));
            assert!((&mut writing).now_or_never().is_none());
            advance(each).await;
            if writes.deadline(false).is_some_and(|deadline| deadline <= Instant::now()) {
                return Some(begun.elapsed());
            }
            peer.read_exact(&mut BUFFER.clone()).await.unwrap();
            writing.await.unwrap();
            assert_eq!(writes.deadline(false), None, "everything is written");
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_whole_buffers_too_slowly_is_late() {
        assert_eq!(late_after(SECOND * 5).await, Some(SECOND * 35));
        assert_eq!(late_after(SECOND).await, Some(SECOND * 35));
        assert_eq!(late_after(SECOND / 8).await, None, "8 KiB each second");
    }

    /// Accepts every write, as TLS does, and flushes while `sends` is set.
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
    async fn bytes_that_tls_has_not_flushed_are_not_written() {
        let writes = Http1Writes::default();
        let mut ours = wrapped(Buffering { sends: false }, &writes);
        ours.write_all(&[0; 1024]).await.unwrap();
        assert!(ours.flush().now_or_never().is_none());
        assert_eq!(writes.deadline(false), Some(Instant::now() + SECOND * 30));
        advance(SECOND * 10).await;
        assert!(ours.flush().now_or_never().is_none());
        assert_eq!(writes.deadline(false), Some(Instant::now() + SECOND * 20));
        ours.io.sends = true;
        ours.flush().await.unwrap();
        assert_eq!(writes.deadline(false), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_has_a_deadline_until_everything_is_written() {
        let (mut peer, ours) = duplex(100);
        let writes = Http1Writes::default();
        let mut ours = wrapped(ours, &writes);
        ours.write_all(&[0; 100]).await.unwrap();
        assert_eq!(writes.deadline(false), None, "everything is written");
        let writing = tokio::spawn(async move { ours.write_all(&[0; 50]).await.map(|()| ours) });
        tokio::task::yield_now().await;
        let deadline = writes.deadline(false).expect("the write is blocked");
        assert!(writes.deadline(true).is_some_and(|sooner| sooner < deadline));
        advance(Duration::from_secs(10)).await;
        assert_eq!(writes.deadline(false), Some(deadline), "waiting does not extend it");
        writes.set_exempt(true);
        assert_eq!(writes.deadline(false), None);
        writes.set_exempt(false);
        let restarted =
            writes.deadline(false).expect("the stream has ended, and the peer has to read its end");
        assert!(restarted > deadline);
        peer.read_exact(&mut [0; 150]).await.unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(writes.deadline(false), None);
    }
}

//! How fast the peer of an HTTP/1.1 connection takes what it asked for.
//!
//! HTTP/1.1 has one answer at a time, all of which may lie in hyper's buffer while the socket takes nothing. So it is the
//! socket that is watched: once it takes no more, the peer has to read at a least rate, or the connection is closed.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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
}

impl SendWatch {
    /// Says whether the answer that begins is left to somebody else when it is not read.
    pub(super) fn exempt(&self, is_exempt: bool) {
        self.0.lock().is_exempt = is_exempt;
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
}

impl<T> Watched<T> {
    /// Watches a stream.
    pub(super) const fn new(io: T, watch: SendWatch) -> Self {
        Self { io, watch }
    }

    /// Returns the stream.
    pub(super) fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
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

//! One connection: TLS where it is on, told apart as HTTP/1.1 or HTTP/2 by its first bytes, served, aged, closed.
//!
//! Nothing waits for ever: the first bytes, the handshake, a request's head and HTTP/2's pings each have a deadline.

use std::{
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    listener::Door,
    prefixed::Prefixed,
    stack::{PeerService, Stack},
    tls::{HANDSHAKE_RECORD, Tls},
    transport::Transport,
};
use crate::{domain::Connection, metrics::HANDSHAKES_FAILED};

/// How long a peer may take to say what it speaks.
const FIRST_BYTES: Duration = Duration::from_secs(10);

/// How long TLS's handshake may take after its first byte.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a peer may take for the head of an HTTP/1.1 request, and between two of them.
const HEADER_READ: Duration = Duration::from_secs(10);

/// How long an old connection's streams may go on after it was asked to come again.
const AGE_GRACE: Duration = Duration::from_secs(10);

/// How long, and for how many bytes, a connection that is not served is read on before it is closed.
const HANGING_UP: Duration = Duration::from_millis(500);
const UNREAD_BYTES: u64 = 256 * 1024;

/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Who is at the other end, and which shard serves them; in every request's extensions.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Their address, or their proxy's.
    pub address: IpAddr,
    /// What may be asked for where they came in.
    pub door: Door,
    /// The shard that serves the connection.
    pub shard: usize,
    /// What the hub knows of the connection.
    pub connection: Arc<Connection>,
}

/// When connections end, beyond what their peers do.
#[derive(Clone, Debug)]
pub struct Lifetime {
    /// The age at which a connection is asked to come again, ± 10 %; none: never.
    pub age: Option<Duration>,
    /// Asks every connection to come again elsewhere.
    pub drain: CancellationToken,
    /// Ends every connection at once.
    pub end: CancellationToken,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    socket: TcpStream,
    tls: Option<Tls>,
    peer: Peer,
    stack: Arc<Stack>,
    lifetime: Lifetime,
) {
    let mut io = match tls {
        None => Transport::Plain(socket),
        Some(tls) => {
            // On the heap: most connections never need what a handshake does.
            let secured = Box::pin(secure(socket, &tls));
            let secured = tokio::select! {
                secured = secured => secured,
                () = lifetime.drain.cancelled() => return,
            };
            let Some(io) = secured else {
                tracing::debug!(address = %peer.address, "a connection did not come to speak TLS");
                return;
            };
            io
        }
    };
    let read = tokio::select! {
        read = timeout(FIRST_BYTES, first_bytes(&mut io)) => read,
        () = lifetime.drain.cancelled() => return,
    };
    let Ok(Ok(first)) = read else {
        tracing::debug!(address = %peer.address, "a connection said nothing in time, or nothing that is HTTP");
        hang_up(io).await;
        return;
    };
    let is_http2 = first.as_slice() == PREFACE;
    let io = TokioIo::new(Prefixed::new(first, io));
    let connection = Arc::clone(&peer.connection);
    let service = stack.for_peer(peer);
    if is_http2 {
        let serving = http2().serve_connection(io, service);
        drive(pin!(serving), &connection, &lifetime, |serving| serving.graceful_shutdown()).await;
    } else {
        let mut serving = LeftOpen(http1().serve_connection(io, service));
        let shut_down = |serving: Pin<&mut LeftOpen>| Pin::new(&mut serving.get_mut().0).graceful_shutdown();
        if drive(Pin::new(&mut serving), &connection, &lifetime, shut_down).await {
            hang_up(serving.0.into_parts().io.into_inner().into_inner()).await;
        }
    }
}

type Http1 = http1::Connection<TokioIo<Prefixed<Transport>>, PeerService>;

/// An HTTP/1.1 connection that is left open when all is answered, so that it can be closed with care: an answer that
/// came before the end of its request is lost to whoever still writes, where the rest is not read.
struct LeftOpen(Http1);

impl Future for LeftOpen {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_without_shutdown(context)
    }
}

/// What is said to those who speak HTTP where TLS is spoken.
const NEEDS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 72\r\n\
    connection: close\r\n\r\n{\"error\":\"this port speaks TLS: call it by https\",\"reason\":\"TLS_NEEDED\"}";

/// Shakes hands; none where the connection was closed instead.
async fn secure(mut socket: TcpStream, tls: &Tls) -> Option<Transport> {
    let mut first = [0];
    let seen = timeout(FIRST_BYTES, socket.peek(&mut first)).await;
    if !matches!(seen, Ok(Ok(1..))) {
        return None;
    }
    if first != [HANDSHAKE_RECORD] {
        let read = timeout(FIRST_BYTES, first_bytes(&mut socket)).await;
        // HTTP/2 without TLS has no answer that is as plain as being closed.
        if matches!(read, Ok(Ok(first)) if first.as_slice() != PREFACE) {
            drop(timeout(HANGING_UP, socket.write_all(NEEDS_TLS)).await);
        }
        hang_up(socket).await;
        return None;
    }
    match timeout(HANDSHAKE, tls.accept(socket)).await {
        Ok(Ok(stream)) => Some(Transport::Tls(Box::new(stream))),
        Ok(Err((error, socket))) => {
            HANDSHAKES_FAILED.increment();
            tracing::debug!(%error, "a handshake failed");
            hang_up(socket).await;
            None
        }
        Err(_) => {
            HANDSHAKES_FAILED.increment();
            None
        }
    }
}

/// The methods of HTTP/1.1 that are answered at all, if only with 405.
const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT "];

/// Reads until it is certain what the peer speaks: 24 bytes at most, the first word where it is HTTP/1.1. What is
/// neither is an error, and gets no answer: h2spec holds that an invalid preface is a closed connection.
async fn first_bytes(io: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(PREFACE.len());
    loop {
        let rest = (PREFACE.len() - first.len()) as u64;
        if io.take(rest).read_buf(&mut first).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let may_become = |whole: &[u8]| whole.starts_with(&first);
        if first == PREFACE || METHODS.iter().any(|method| first.starts_with(method)) {
            return Ok(first);
        }
        if !may_become(PREFACE) && !METHODS.iter().any(|method| may_become(method)) {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
}

/// Closes a connection so that its peer sees an end, and not a reset, which unread bytes would cause.
async fn hang_up(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    let closing = async {
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(UNREAD_BYTES), &mut tokio::io::sink()).await
    };
    // A peer that goes on sends into a closed connection.
    drop(timeout(HANGING_UP, closing).await);
}

/// Polls a connection to its end, and says whether that was its own: everything was answered, or it failed. Where it
/// was ours nothing more is to be said.
async fn drive<C>(
    mut serving: Pin<&mut C>,
    connection: &Connection,
    lifetime: &Lifetime,
    shut_down: impl Fn(Pin<&mut C>),
) -> bool
where
    C: Future<Output = hyper::Result<()>>,
{
    let age = async {
        match lifetime.age {
            Some(age) => sleep(age).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = connection.closing() => {
            tracing::debug!("a connection was closed: nothing on it reads");
            return false;
        }
        () = lifetime.end.cancelled() => return false,
        () = lifetime.drain.cancelled() => None,
        () = age => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            shut_down(serving.as_mut());
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = lifetime.end.cancelled() => return false,
                () = end_of_grace(connection, lifetime) => {
                    // The streams were told to end; what is left of them goes with the connection.
                    let Ok(ended) = timeout(AGE_GRACE, serving.as_mut()).await else { return false };
                    ended
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
    true
}

/// An old connection's streams are ended after a grace, so that their clients resume on another. While the server
/// drains, it ends them itself.
async fn end_of_grace(connection: &Connection, lifetime: &Lifetime) {
    if lifetime.drain.is_cancelled() {
        return std::future::pending().await;
    }
    sleep(AGE_GRACE).await;
    connection.retire();
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ)
        .max_buf_size(64 * 1024)
        .max_headers(64)
        .half_close(false);
    builder
}

/// hyper's own guards stay on: tonic's server would pass "none" for the two limits of resets.
fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(1_000)
        .max_local_error_reset_streams(256)
        .max_pending_accept_reset_streams(20)
        .max_header_list_size(16 * 1024)
        .max_frame_size(16 * 1024)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

//! One connection: TLS where it is on, told apart as HTTP/1.1 or HTTP/2 by its first bytes, served, aged, closed.
//!
//! Nothing waits for ever: the first bytes, the handshake, a request's head and HTTP/2's pings each have a deadline.

use std::{
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    answer_memory::{AnswerMemory, ConnectionMemory},
    first_bytes::{self, Spoken},
    grpc::SideStreams,
    http1,
    lifetime::{LAST_ANSWER, LAST_REQUEST, Leaving, Lifetime},
    listener::Door,
    patience::Patient,
    prefixed::Prefixed,
    request_watch::RequestWatch,
    send_watch::SendWatch,
    stack::Stack,
    tls::{HANDSHAKE_RECORD, Tls},
    transport::Transport,
};
use crate::{domain::Connection, metrics::HANDSHAKES_FAILED};

/// How long a peer may take to say what it speaks.
const FIRST_BYTES: Duration = Duration::from_secs(10);

/// How long TLS's handshake may take after its first byte.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How much of requests that nobody reads yet lies here for each HTTP/2 connection: of a client, and of a trusted proxy, on
/// whose connection one client must not stop the others. h2 closes a connection on which small frames that nobody has read
/// yet take half of it, each counted as 256 bytes: so 512 calls may come at once.
const WINDOW: u32 = 256 * 1024;
const SHARED_WINDOW: u32 = 32 * 1024 * 1024;

/// How many requests an HTTP/2 connection may have at a time: on a proxy's more than one client has under way and waiting.
const STREAMS: u32 = 1_000;
const SHARED_STREAMS: u32 = 4_000;

/// How much of one request lies here unread: some messages of the longest kind.
const STREAM_WINDOW: u32 = 16 * 1024;

/// How long the streams of a connection may go on after it was asked to come again.
const AGE_GRACE: Duration = Duration::from_secs(10);

/// How long, and for how many bytes, a connection that is not served is read on before it is closed.
const HANGING_UP: Duration = Duration::from_millis(500);
const UNREAD_BYTES: u64 = 4 * 1024 * 1024;

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
    /// Its streams that the hub does not know of.
    pub side_streams: Arc<SideStreams>,
    /// The memory of the answers on it.
    pub answers: ConnectionMemory,
    /// How fast it takes what is sent, on HTTP/1.1.
    pub sending: SendWatch,
    /// What is waited for between answers, on HTTP/1.1.
    pub requests: RequestWatch,
}

impl Peer {
    /// Says who is at the other end of a connection with this life, whose side streams end with `retiring`.
    pub(super) fn new(
        address: IpAddr,
        door: Door,
        shard: usize,
        answers: ConnectionMemory,
        lifetime: &Lifetime,
        retiring: CancellationToken,
    ) -> Self {
        let side_streams = Arc::new(SideStreams::new(retiring));
        let (connection, sending) = (Arc::default(), SendWatch::default());
        let requests = RequestWatch::new(lifetime.keep_alive, lifetime.leaving.clone());
        Self { address, door, shard, connection, side_streams, answers, sending, requests }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(
    socket: TcpStream,
    tls: Option<Tls>,
    peer: Peer,
    stack: Arc<Stack>,
    lifetime: Lifetime,
    retiring: CancellationToken,
) {
    let mut io = match tls {
        None => Transport::Plain(socket),
        Some(tls) => {
            // On the heap: most connections never need what a handshake does.
            let secured = Box::pin(secure(socket, &tls, peer.address));
            let Some(secured) = lifetime.before_drain(secured).await else { return };
            let Some(io) = secured else {
                tracing::debug!(address = %peer.address, "a connection did not come to speak TLS");
                return;
            };
            io
        }
    };
    let reading = timeout(FIRST_BYTES, first_bytes::read(&mut io));
    let Some(read) = lifetime.before_drain(reading).await else { return };
    let (first, is_http2) = match read {
        Ok(Ok(Spoken::Http2(first))) => (first, true),
        Ok(Ok(Spoken::Http1(first))) => (first, false),
        Ok(Ok(Spoken::UnknownMethod)) => {
            let (status, sentence) = ("501 Not Implemented", "this method of HTTP is not known here");
            let refusing = first_bytes::refuse(&mut io, status, sentence, "METHOD_NOT_IMPLEMENTED");
            drop(timeout(HANGING_UP, refusing).await);
            hang_up(io).await;
            return;
        }
        Ok(Ok(Spoken::Other(other))) => {
            other.log(peer.address);
            hang_up(io).await;
            return;
        }
        Ok(Err(_)) | Err(_) => {
            tracing::debug!(address = %peer.address, "a connection said nothing in time, or nothing that is HTTP");
            hang_up(io).await;
            return;
        }
    };
    let io = Prefixed::new(first, io);
    let (connection, sending) = (Arc::clone(&peer.connection), peer.sending.clone());
    let (memory, is_shared) = (stack.memory().clone(), peer.answers.is_shared());
    peer.requests.start();
    let requests = peer.requests.clone();
    let service = stack.for_peer(peer);
    if is_http2 {
        let mut serving = pin!(http2(memory, is_shared).serve_connection(TokioIo::new(io), service));
        // hyper closes a connection without a word that it has not greeted yet.
        if lifetime.drain.is_cancelled()
            && let Ok(ended) = timeout(LAST_REQUEST, serving.as_mut()).await
        {
            return ended_by_itself(ended);
        }
        drive(serving, &connection, &lifetime, &retiring, |serving| serving.graceful_shutdown()).await;
        return;
    }
    let serving = http1::Serving::new(io, service, sending, requests, memory);
    if let Some(io) = serving.run(&connection, &lifetime, &retiring).await {
        hang_up(io).await;
    }
}

/// Shakes hands; none where the connection was closed instead.
async fn secure(mut socket: TcpStream, tls: &Tls, address: IpAddr) -> Option<Transport> {
    let mut first = [0];
    let seen = timeout(FIRST_BYTES, socket.peek(&mut first)).await;
    if !matches!(seen, Ok(Ok(1..))) {
        return None;
    }
    if first != [HANDSHAKE_RECORD] {
        let read = timeout(FIRST_BYTES, first_bytes::read(&mut socket)).await;
        match read {
            Ok(Ok(Spoken::Http1(_) | Spoken::UnknownMethod)) => {
                let (status, sentence) = ("400 Bad Request", "this port speaks TLS: call it by https");
                let refusing = first_bytes::refuse(&mut socket, status, sentence, "TLS_NEEDED");
                drop(timeout(HANGING_UP, refusing).await);
            }
            Ok(Ok(Spoken::Other(other))) => other.log(address),
            // HTTP/2 without TLS has no answer that is as plain as being closed.
            Ok(Ok(Spoken::Http2(_)) | Err(_)) | Err(_) => {}
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

/// Closes a connection so that its peer sees an end, and not a reset, which unread bytes would cause.
async fn hang_up(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    let closing = async {
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(UNREAD_BYTES), &mut tokio::io::sink()).await
    };
    // A peer that goes on sends into a closed connection.
    drop(timeout(HANGING_UP, closing).await);
}

/// Polls a connection of HTTP/2 to its end. When it is to come again it is told so by GOAWAY, which loses nothing: what was
/// asked before is answered, and what comes after may be asked elsewhere.
async fn drive<C>(
    mut serving: Pin<&mut C>,
    connection: &Connection,
    lifetime: &Lifetime,
    retiring: &CancellationToken,
    shut_down: impl Fn(Pin<&mut C>),
) where
    C: Future<Output = hyper::Result<()>>,
{
    let why = tokio::select! {
        ended = serving.as_mut() => return ended_by_itself(ended),
        () = lifetime.end.cancelled() => return,
        why = lifetime.over(connection) => why,
    };
    shut_down(serving.as_mut());
    let last = async {
        match why {
            // The streams are ended by the server, and the rest with it.
            Leaving::Drained => std::future::pending().await,
            Leaving::Unread => sleep(AGE_GRACE).await,
            Leaving::Old => {
                sleep(AGE_GRACE).await;
                connection.retire();
                retiring.cancel();
                // The streams were told to end; what is left of them goes with the connection. Calls are answered.
                sleep(LAST_ANSWER).await;
            }
        }
    };
    tokio::select! {
        ended = serving.as_mut() => ended_by_itself(ended),
        () = lifetime.end.cancelled() => {}
        () = last => {}
    }
}

fn ended_by_itself(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// hyper's own guards stay on: tonic's server would pass "none" for the two limits of resets.
fn http2(memory: AnswerMemory, is_shared: bool) -> http2::Builder<Patient> {
    let streams = if is_shared { SHARED_STREAMS } else { STREAMS };
    let mut builder = http2::Builder::new(Patient::new(memory, streams));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_local_error_reset_streams(256)
        .max_pending_accept_reset_streams(20)
        .max_header_list_size(16 * 1024)
        .max_frame_size(16 * 1024)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(if is_shared { SHARED_WINDOW } else { WINDOW })
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use tokio::time::{Instant, Sleep};

    use super::*;

    /// A connection that goes on until it is asked to end, and then for so long.
    struct Serving(Duration, Option<Pin<Box<Sleep>>>);

    impl Future for Serving {
        type Output = hyper::Result<()>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
            match &mut self.1 {
                Some(rest) => rest.as_mut().poll(context).map(Ok),
                None => Poll::Pending,
            }
        }
    }

    impl Serving {
        fn shut_down(mut self: Pin<&mut Self>) {
            self.1 = Some(Box::pin(sleep(self.0)));
        }
    }

    async fn driven(busy: Duration, connection: &Connection, lifetime: &Lifetime) -> Duration {
        let (begun, mut serving) = (Instant::now(), Serving(busy, None));
        let retiring = lifetime.drain.child_token();
        drive(Pin::new(&mut serving), connection, lifetime, &retiring, Serving::shut_down).await;
        begun.elapsed()
    }

    fn lifetime(age: Option<Duration>) -> Lifetime {
        Lifetime::new(age, Duration::from_secs(75))
    }

    #[tokio::test(start_paused = true)]
    async fn calls_beside_streams_that_do_not_read_are_answered() {
        let connection = Connection::default();
        connection.close_if_all_parked();
        let seconds = Duration::from_secs;
        assert_eq!(driven(seconds(3), &connection, &lifetime(None)).await, seconds(3));
        assert_eq!(driven(seconds(60), &connection, &lifetime(None)).await, AGE_GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_all_is_the_end_of_an_old_connection_too() {
        let lifetime = lifetime(Some(Duration::from_secs(1)));
        let end = lifetime.end.clone();
        // In its last grace.
        let at = Duration::from_secs(1) + AGE_GRACE + AGE_GRACE / 2;
        tokio::spawn(async move {
            sleep(at).await;
            end.cancel();
        });
        assert_eq!(driven(Duration::from_secs(3_600), &Connection::default(), &lifetime).await, at);
    }
}

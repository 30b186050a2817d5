//! One connection, from its first byte to its close: TLS, then protocol detection, then HTTP/2 or HTTP/1.1.
//!
//! Nothing waits for ever: the first bytes, the handshake, a request's head and HTTP/2's pings each have a timeout.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::{
    http1, http2,
    lifetime::Lifetime,
    lingering_close::{close, refuse_and_close},
    prefixed::Prefixed,
    protocol::{self, Protocol},
    tls::{HANDSHAKE_RECORD, Tls},
    transport::Transport,
};
use crate::{
    gateway::{peer::Peer, stack::Stack},
    metrics::HANDSHAKES_FAILED,
};

/// Timeout of the first bytes, which show the protocol.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of the TLS handshake, from its first byte.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a connection to its end.
pub(super) async fn serve(
    socket: TcpStream,
    tls: Option<Tls>,
    peer: Peer,
    stack: Arc<Stack>,
    lifetime: Lifetime,
) {
    let Some(io) = secure(socket, tls, peer.address, &lifetime).await else { return };
    // Boxed: otherwise each connection would have the size of the largest of these futures.
    match Box::pin(detect(io, peer.address, &lifetime)).await {
        Some(Http::V2(io)) => Box::pin(http2::serve(io, peer, &stack, &lifetime)).await,
        Some(Http::V1(io)) => Box::pin(http1::serve(io, peer, &stack, &lifetime)).await,
        None => {}
    }
}

/// A connection whose protocol is known.
enum Http {
    V1(Prefixed<Transport>),
    V2(Prefixed<Transport>),
}

/// Does the TLS handshake, where TLS is on. Returns none where the connection was closed instead.
async fn secure(
    socket: TcpStream,
    tls: Option<Tls>,
    address: IpAddr,
    lifetime: &Lifetime,
) -> Option<Transport> {
    let Some(tls) = tls else { return Some(Transport::Plain(socket)) };
    // Boxed: the state of a handshake is large, and is not needed for the rest of the connection.
    let io = lifetime.before_drain(Box::pin(handshake(socket, &tls, address))).await?;
    if io.is_none() {
        tracing::debug!(%address, "a connection closed before TLS was set up");
    }
    io
}

/// Reads the first bytes of a connection. Returns none where it was closed, since they are not HTTP.
async fn detect(mut io: Transport, address: IpAddr, lifetime: &Lifetime) -> Option<Http> {
    let reading = timeout(FIRST_BYTES_TIMEOUT, protocol::detect(&mut io));
    match lifetime.before_drain(reading).await? {
        Ok(Ok(Protocol::Http2(prefix))) => return Some(Http::V2(Prefixed::new(prefix, io))),
        Ok(Ok(Protocol::Http1(prefix))) => return Some(Http::V1(Prefixed::new(prefix, io))),
        Ok(Ok(Protocol::UnknownMethod)) => {
            let (status, sentence) = ("501 Not Implemented", "this method of HTTP is not known here");
            refuse_and_close(io, status, sentence, "METHOD_NOT_IMPLEMENTED").await;
            return None;
        }
        Ok(Ok(Protocol::NotHttp(other))) => other.log(address),
        Ok(Err(_)) | Err(_) => {
            tracing::debug!(%address, "a connection sent nothing in time, or nothing that is HTTP");
        }
    }
    close(io).await;
    None
}

/// Does the TLS handshake. Returns none where the connection was closed instead.
async fn handshake(mut socket: TcpStream, tls: &Tls, address: IpAddr) -> Option<Transport> {
    let mut first = [0];
    let peeked = timeout(FIRST_BYTES_TIMEOUT, socket.peek(&mut first)).await;
    if !matches!(peeked, Ok(Ok(1..))) {
        return None;
    }
    if first != [HANDSHAKE_RECORD] {
        match timeout(FIRST_BYTES_TIMEOUT, protocol::detect(&mut socket)).await {
            Ok(Ok(Protocol::Http1(_) | Protocol::UnknownMethod)) => {
                let (status, sentence) = ("400 Bad Request", "this port speaks TLS: call it by https");
                refuse_and_close(socket, status, sentence, "TLS_NEEDED").await;
                return None;
            }
            Ok(Ok(Protocol::NotHttp(other))) => other.log(address),
            // Closing is the plainest refusal of HTTP/2 without TLS.
            Ok(Ok(Protocol::Http2(_)) | Err(_)) | Err(_) => {}
        }
        close(socket).await;
        return None;
    }
    match timeout(HANDSHAKE_TIMEOUT, tls.accept(socket)).await {
        Ok(Ok(stream)) => Some(Transport::Tls(Box::new(stream))),
        Ok(Err((error, socket))) => {
            HANDSHAKES_FAILED.increment();
            tracing::debug!(%error, "a handshake failed");
            close(socket).await;
            None
        }
        Err(_) => {
            HANDSHAKES_FAILED.increment();
            None
        }
    }
}

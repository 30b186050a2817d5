//! Finds out whether an unreachable server speaks the other scheme, `http` or `https`.
//!
//! With the wrong scheme the connection breaks, each time in another way. So the port is probed: a TLS server
//! answers any TLS record with one, and a server without TLS answers an HTTP request line.

use std::time::Duration;

use grpcchatter_client::Error as ClientError;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::exit::Error;

/// Enough for a distant server; the user is waiting for an error message.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// A handshake record whose ClientHello is too short to be valid.
const CLIENT_HELLO: &[u8] = &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0];
/// The record types that a TLS server replies with.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Turns an unreachable server into [`Error::Scheme`] if the scheme is the cause.
pub(crate) async fn explain(url: &str, error: ClientError) -> Error {
    if let ClientError::Unreachable(_) = error
        && let Some(other) = with_other_scheme(url).await
    {
        return Error::Scheme { url: url.to_owned(), other };
    }
    error.into()
}

/// The URL of the same server with the other scheme, if it speaks that one.
async fn with_other_scheme(url: &str) -> Option<String> {
    let (scheme, authority) = url.split_once("://")?;
    let (host, port) = host_and_port(authority, if scheme == "https" { 443 } else { 80 });
    let (hello, other): (&[u8], _) = match scheme {
        "https" => (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "http"),
        _ => (CLIENT_HELLO, "https"),
    };
    let first = timeout(PROBE_TIMEOUT, probe(host, port, hello)).await.ok()??;
    let speaks = if other == "http" { &first == b"HTTP/" } else { matches!(first[0], ALERT | HANDSHAKE) };
    speaks.then(|| format!("{other}://{authority}"))
}

/// The first bytes of the reply.
async fn probe(host: &str, port: u16, hello: &[u8]) -> Option<[u8; 5]> {
    let mut stream = TcpStream::connect((host, port)).await.ok()?;
    stream.write_all(hello).await.ok()?;
    let mut first = [0; 5];
    stream.read_exact(&mut first).await.ok()?;
    Some(first)
}

fn host_and_port(authority: &str, default_port: u16) -> (&str, u16) {
    let (host, port) = match authority.rsplit_once(':') {
        // An IPv6 address has its colons in brackets.
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(default_port)),
        _ => (authority, default_port),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_split() {
        assert_eq!(host_and_port("chat.example", 443), ("chat.example", 443));
        assert_eq!(host_and_port("chat.example:8443", 443), ("chat.example", 8443));
        assert_eq!(host_and_port("[::1]:8080", 80), ("::1", 8080));
        assert_eq!(host_and_port("[::1]", 80), ("::1", 80));
    }
}

//! Whether a server that cannot be talked to speaks the other scheme.
//!
//! Over the wrong one the connection just breaks, each time in another way. So the port is asked: a TLS server answers
//! a TLS record by one, whatever is in it, and a server without TLS answers a line of HTTP.

use std::time::Duration;

use grpcchatter_client::Error as ClientError;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::exit::Error;

/// Long enough for a far server; whoever waits for it has an error to read.
const PATIENCE: Duration = Duration::from_secs(3);
/// A handshake record with a ClientHello that is too short to be one.
const HELLO: &[u8] = &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0];
/// The kinds of record that answer it.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The error to tell: of the scheme, where that is what is wrong.
pub(crate) async fn explain(url: &str, error: ClientError) -> Error {
    if let ClientError::Unreachable(_) = error
        && let Some(other) = other(url).await
    {
        return Error::Scheme { url: url.to_owned(), other };
    }
    error.into()
}

/// The URL of the same server over the other scheme, if it speaks that one.
async fn other(url: &str) -> Option<String> {
    let (scheme, authority) = url.split_once("://")?;
    let (host, port) = host_and_port(authority, if scheme == "https" { 443 } else { 80 });
    let (hello, other): (&[u8], _) = match scheme {
        "https" => (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "http"),
        _ => (HELLO, "https"),
    };
    let first = timeout(PATIENCE, ask(host, port, hello)).await.ok()??;
    let speaks = if other == "http" { &first == b"HTTP/" } else { matches!(first[0], ALERT | HANDSHAKE) };
    speaks.then(|| format!("{other}://{authority}"))
}

/// The first bytes that are answered.
async fn ask(host: &str, port: u16, hello: &[u8]) -> Option<[u8; 5]> {
    let mut stream = TcpStream::connect((host, port)).await.ok()?;
    stream.write_all(hello).await.ok()?;
    let mut first = [0; 5];
    stream.read_exact(&mut first).await.ok()?;
    Some(first)
}

fn host_and_port(authority: &str, usual: u16) -> (&str, u16) {
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(usual)),
        _ => (authority, usual),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_from_an_address() {
        assert_eq!(host_and_port("chat.example", 443), ("chat.example", 443));
        assert_eq!(host_and_port("chat.example:8443", 443), ("chat.example", 8443));
        assert_eq!(host_and_port("[::1]:8080", 80), ("::1", 8080));
        assert_eq!(host_and_port("[::1]", 80), ("::1", 80));
    }
}

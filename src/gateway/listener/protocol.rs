//! The protocol of a connection, detected by its first bytes.

use std::{io, net::IpAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::sparse_log::SparseLog;

/// The connection preface of HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The methods of HTTP/1.1 that get a response, be it 405.
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
    b"QUERY ",
];

/// The first bytes of protocols that are not HTTP, after empty lines. The binary header of the PROXY protocol begins with two
/// empty lines itself.
const NOT_HTTP: [(&[u8], NotHttp); 5] = [
    (b"\x16\x03", NotHttp::Tls),
    (b"PROXY TCP4 ", NotHttp::ProxyProtocol),
    (b"PROXY TCP6 ", NotHttp::ProxyProtocol),
    (b"PROXY UNKNOWN", NotHttp::ProxyProtocol),
    (b"\0\r\nQUIT\n", NotHttp::ProxyProtocol),
];

/// Maximum length of the empty lines before a request, in bytes.
const MAX_EMPTY_LINES: usize = 64;

/// Maximum length of a request line with an unknown method, in bytes.
const MAX_LINE: usize = 8 * 1024;

/// The protocol of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/2, with the bytes that were read.
    Http2(Vec<u8>),
    /// HTTP/1, with the bytes that were read.
    Http1(Vec<u8>),
    /// HTTP/1 with an unknown method.
    UnknownMethod,
    /// Another protocol, which an operator has turned on by mistake.
    NotHttp(NotHttp),
}

/// A protocol that clients and proxies often send to an HTTP port by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotHttp {
    /// TLS.
    Tls,
    /// HAProxy's PROXY protocol.
    ProxyProtocol,
}

impl NotHttp {
    /// Logs the likely mistake, once a minute. The peer gets no response, since it would not understand one.
    pub(super) fn log(self, address: IpAddr) {
        static TLS: SparseLog = SparseLog::by_the_minute();
        static PROXY_PROTOCOL: SparseLog = SparseLog::by_the_minute();
        let (log, sentence) = match self {
            Self::Tls => (
                &TLS,
                "a connection began with TLS, which is not turned on here, and was closed: call this port by http, or set \
                 TLS_CERT and TLS_KEY",
            ),
            Self::ProxyProtocol => (
                &PROXY_PROTOCOL,
                "a connection began with the PROXY protocol, which is not read here, and was closed: turn it off in the \
                 proxy (send-proxy, proxy_protocol), have it set X-Forwarded-For, and name it in TRUSTED_PROXIES",
            ),
        };
        if let Some(left_out) = log.left_out() {
            tracing::warn!(%address, left_out, "{sentence}");
        }
    }
}

/// Reads until the protocol is known: the method of HTTP/1, or the 24 bytes of HTTP/2's preface. A few empty lines before it
/// are skipped (RFC 9112, 2.2).
///
/// # Errors
/// Where the bytes are of no known protocol. The connection is closed without a response: h2spec requires that of an invalid
/// preface.
pub(super) async fn detect(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Protocol> {
    let mut first = Vec::with_capacity(PREFACE.len());
    let mut skipped = 0;
    loop {
        let rest = (PREFACE.len() - first.len()) as u64;
        if io.take(rest).read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while first.starts_with(b"\r\n") {
            first.drain(..2);
            skipped += 2;
        }
        if skipped > MAX_EMPTY_LINES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if first == PREFACE {
            return Ok(Protocol::Http2(first));
        }
        if METHODS.iter().any(|method| first.starts_with(method)) {
            return Ok(Protocol::Http1(first));
        }
        // TLS has no empty lines before it.
        let is_possible = |other: &NotHttp| *other != NotHttp::Tls || skipped == 0;
        let mut others = NOT_HTTP.iter().filter(|(_, other)| is_possible(other));
        if let Some((_, other)) = others.find(|(beginning, _)| first.starts_with(beginning)) {
            return Ok(Protocol::NotHttp(*other));
        }
        let not_http = NOT_HTTP.map(|(beginning, _)| beginning);
        let mut known = [&PREFACE[..], &b"\r\n"[..]].into_iter().chain(METHODS).chain(not_http);
        if !known.any(|known| known.starts_with(&first)) {
            return unknown_method(io, first).await;
        }
    }
}

/// Reads to the end of the line, which shows whether it is a request line of HTTP/1.
async fn unknown_method(io: &mut (impl AsyncRead + Unpin), mut line: Vec<u8>) -> io::Result<Protocol> {
    let end = loop {
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            break end;
        }
        if !line.first().is_some_and(u8::is_ascii_alphabetic) || line.len() >= MAX_LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if io.take((MAX_LINE - line.len()) as u64).read_buf(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let line = line[..end].trim_ascii_end();
    if line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") {
        Ok(Protocol::UnknownMethod)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Detects the protocol of bytes that arrive one by one.
    async fn detected(bytes: &[u8]) -> Option<Protocol> {
        let (mut client, mut server) = tokio::io::duplex(1);
        let writing = async {
            // The reader may stop early.
            drop(client.write_all(bytes).await);
            drop(client);
        };
        tokio::join!(writing, async {
            let protocol = detect(&mut server).await;
            drop(server);
            protocol
        })
        .1
        .ok()
    }

    #[tokio::test]
    async fn the_first_bytes_show_the_protocol() {
        assert_eq!(detected(PREFACE).await, Some(Protocol::Http2(PREFACE.to_vec())));
        for start in ["", "\r\n", "\r\n\r\n"] {
            let read = detected(format!("{start}GET / HTTP/1.1\r\n").as_bytes()).await;
            assert_eq!(read, Some(Protocol::Http1(b"GET ".to_vec())), "{start:?}");
        }
        for line in ["BREW / HTTP/1.1\r\n", "get / HTTP/1.0\n", "\r\nPROPFIND /a HTTP/1.1\r\n"] {
            assert_eq!(detected(line.as_bytes()).await, Some(Protocol::UnknownMethod), "{line}");
        }
        for (beginning, other) in NOT_HTTP {
            assert_eq!(detected(beginning).await, Some(Protocol::NotHttp(other)), "{beginning:?}");
        }
        let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
        assert_eq!(detected(binary).await, Some(Protocol::NotHttp(NotHttp::ProxyProtocol)));
        assert_eq!(detected(b"PROXY /a HTTP/1.1\r\n").await, Some(Protocol::UnknownMethod));
        let empty = "\r\n".repeat(MAX_EMPTY_LINES / 2);
        assert_eq!(
            detected(format!("{empty}GET / ").as_bytes()).await,
            Some(Protocol::Http1(b"GET ".to_vec()))
        );
        let too_many = format!("{empty}\r\nGET / ");
        let long = format!("BREW /{} HTTP/1.1\r\n", "x".repeat(MAX_LINE));
        for nothing in [
            "",
            "\r",
            "\r\n",
            "PRI",
            "INVALID CONNECTION PREFACE\r\n\r\n",
            "\x16",
            "\r\n\x16\x03",
            "\0",
            &too_many,
            &long,
        ] {
            assert_eq!(detected(nothing.as_bytes()).await, None, "{nothing:?}");
        }
    }
}

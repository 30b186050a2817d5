//! What a peer speaks, told by the first bytes that it sends, and what is said to those who are not served.

use std::{io, net::IpAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{metrics::REFUSALS, sparse_log::SparseLog};

/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The methods of HTTP/1.1 that are answered at all, if only with 405.
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

/// What begins a connection of something that speaks otherwise, as it stands after empty lines: a handshake of TLS, and the
/// header of the PROXY protocol in its text and in its binary form (which begins with two empty lines).
const OTHERS: [(&[u8], Other); 5] = [
    (b"\x16\x03", Other::Tls),
    (b"PROXY TCP4 ", Other::ProxyProtocol),
    (b"PROXY TCP6 ", Other::ProxyProtocol),
    (b"PROXY UNKNOWN", Other::ProxyProtocol),
    (b"\0\r\nQUIT\n", Other::ProxyProtocol),
];

/// Empty lines before a request that are passed over, in bytes.
const EMPTY_LINES: usize = 64;

/// The longest first line that is read to see whether a method that is not known is one of HTTP/1.
const LONGEST_LINE: usize = 8 * 1024;

/// What a peer speaks, with the bytes that said so.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/2.
    Http2(Vec<u8>),
    /// HTTP/1.
    Http1(Vec<u8>),
    /// HTTP/1 with a method that nobody knows.
    UnknownMethod,
    /// Something that is not HTTP, and that an operator has turned on by mistake.
    Other(Other),
}

/// What is often spoken to a port that speaks HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// TLS.
    Tls,
    /// HAProxy's PROXY protocol.
    ProxyProtocol,
}

impl Other {
    /// Says in the log what is set wrongly, for the first of a minute. Whoever speaks it gets no answer: it has no form that
    /// they would understand.
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

/// Reads until it is certain what the peer speaks: 24 bytes at most, the first word where it is HTTP/1.1. A few empty lines
/// before it do not count (RFC 9112, 2.2).
///
/// # Errors
/// Where it is neither. It gets no answer: h2spec holds that an invalid preface is a closed connection.
pub(super) async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Spoken> {
    let mut first = Vec::with_capacity(PREFACE.len());
    let mut passed_over = 0;
    loop {
        let rest = (PREFACE.len() - first.len()) as u64;
        if io.take(rest).read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while first.starts_with(b"\r\n") {
            first.drain(..2);
            passed_over += 2;
        }
        if passed_over > EMPTY_LINES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if first == PREFACE {
            return Ok(Spoken::Http2(first));
        }
        if METHODS.iter().any(|method| first.starts_with(method)) {
            return Ok(Spoken::Http1(first));
        }
        // TLS has no empty lines before it.
        let is_spoken = |other: &Other| *other != Other::Tls || passed_over == 0;
        let mut others = OTHERS.iter().filter(|(_, other)| is_spoken(other));
        if let Some((_, other)) = others.find(|(beginning, _)| first.starts_with(beginning)) {
            return Ok(Spoken::Other(*other));
        }
        let mut known =
            [&PREFACE[..], &b"\r\n"[..]].into_iter().chain(METHODS).chain(OTHERS.map(|(other, _)| other));
        if !known.any(|known| known.starts_with(&first)) {
            return unknown(io, first).await;
        }
    }
}

/// Reads on to the end of the line, which tells whether it is one of HTTP/1.
async fn unknown(io: &mut (impl AsyncRead + Unpin), mut line: Vec<u8>) -> io::Result<Spoken> {
    let end = loop {
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            break end;
        }
        if !line.first().is_some_and(u8::is_ascii_alphabetic) || line.len() >= LONGEST_LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if io.take((LONGEST_LINE - line.len()) as u64).read_buf(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let line = line[..end].trim_ascii_end();
    if line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") {
        Ok(Spoken::UnknownMethod)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Says in HTTP/1.1 to a peer who is not served why not.
pub(super) async fn refuse(
    io: &mut (impl AsyncWrite + Unpin),
    status: &str,
    sentence: &str,
    reason: &'static str,
) -> io::Result<()> {
    REFUSALS.increment([reason]);
    let body = format!(r#"{{"error":"{sentence}","reason":"{reason}"}}"#);
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    io.write_all(answer.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn spoken(bytes: &[u8]) -> Option<Spoken> {
        // A byte at a time: whatever the network cuts is read the same way.
        let (mut client, mut server) = tokio::io::duplex(1);
        let writing = async {
            // The reader may have seen enough.
            drop(client.write_all(bytes).await);
            drop(client);
        };
        tokio::join!(writing, async {
            let read = read(&mut server).await;
            drop(server);
            read
        })
        .1
        .ok()
    }

    #[tokio::test]
    async fn the_first_bytes_say_what_is_spoken() {
        assert_eq!(spoken(PREFACE).await, Some(Spoken::Http2(PREFACE.to_vec())));
        for start in ["", "\r\n", "\r\n\r\n"] {
            let read = spoken(format!("{start}GET / HTTP/1.1\r\n").as_bytes()).await;
            assert_eq!(read, Some(Spoken::Http1(b"GET ".to_vec())), "{start:?}");
        }
        for line in ["BREW / HTTP/1.1\r\n", "get / HTTP/1.0\n", "\r\nPROPFIND /a HTTP/1.1\r\n"] {
            assert_eq!(spoken(line.as_bytes()).await, Some(Spoken::UnknownMethod), "{line}");
        }
        for (beginning, other) in OTHERS {
            assert_eq!(spoken(beginning).await, Some(Spoken::Other(other)), "{beginning:?}");
        }
        let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
        assert_eq!(spoken(binary).await, Some(Spoken::Other(Other::ProxyProtocol)));
        assert_eq!(spoken(b"PROXY /a HTTP/1.1\r\n").await, Some(Spoken::UnknownMethod));
        let empty = "\r\n".repeat(EMPTY_LINES / 2);
        assert_eq!(spoken(format!("{empty}GET / ").as_bytes()).await, Some(Spoken::Http1(b"GET ".to_vec())));
        let too_many = format!("{empty}\r\nGET / ");
        let long = format!("BREW /{} HTTP/1.1\r\n", "x".repeat(LONGEST_LINE));
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
            assert_eq!(spoken(nothing.as_bytes()).await, None, "{nothing:?}");
        }
    }
}

//! HTTP/2 frames: as much as a client needs that sends few kinds of requests and reads little of the answers.
//!
//! Header fields are literals without indexing (RFC 7541, 6.2.2) and without Huffman coding.

use std::net::SocketAddr;

/// The connection preface of a client.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest window of a stream or a connection.
pub(super) const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// The initial window of a connection, in both directions.
pub(super) const FIRST_WINDOW: u32 = 65_535;
/// The client refills the connection's window after this many received bytes.
pub(super) const REFILL: u32 = 1 << 30;
/// The length of a frame's head.
const HEAD: usize = 9;

/// Frame types (RFC 9113, 6).
pub(super) mod kind {
    pub(in crate::load) const DATA: u8 = 0;
    pub(in crate::load) const HEADERS: u8 = 1;
    pub(in crate::load) const RST_STREAM: u8 = 3;
    pub(in crate::load) const SETTINGS: u8 = 4;
    pub(in crate::load) const PING: u8 = 6;
    pub(in crate::load) const GOAWAY: u8 = 7;
    pub(in crate::load) const WINDOW_UPDATE: u8 = 8;
}

/// Frame flags.
pub(super) mod flag {
    pub(in crate::load) const ACK: u8 = 1;
    pub(in crate::load) const END_STREAM: u8 = 1;
    pub(in crate::load) const END_HEADERS: u8 = 4;
}

/// Settings (RFC 9113, 6.5.2).
pub(super) mod setting {
    pub(in crate::load) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in crate::load) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(in crate::load) const INITIAL_WINDOW_SIZE: u16 = 4;
}

/// A received frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'b> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'b [u8],
}

impl<'b> Frame<'b> {
    /// Returns the first frame in `bytes` and the bytes after it, once it is complete.
    pub(super) fn first(bytes: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (&[a, b, c, kind, flags, w, x, y, z], rest) = bytes.split_first_chunk::<HEAD>()?;
        let (payload, rest) = rest.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize)?;
        Some((Self { kind, flags, stream: u32::from_be_bytes([w, x, y, z]), payload }, rest))
    }

    /// Returns whether the frame ends its stream.
    pub(super) const fn ends(self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & flag::END_STREAM != 0
    }
}

/// Writes a frame.
pub(super) fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Writes a SETTINGS frame.
pub(super) fn settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let pair = |&(name, value): &(u16, u32)| {
        let (name, value) = (name.to_be_bytes(), value.to_be_bytes());
        [name[0], name[1], value[0], value[1], value[2], value[3]]
    };
    frame(out, kind::SETTINGS, 0, 0, &settings.iter().flat_map(pair).collect::<Vec<_>>());
}

/// Returns the header block of a gRPC call.
pub(super) fn call(address: SocketAddr, path: &str, token: &str) -> Vec<u8> {
    headers(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", &address.to_string()),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", &format!("Bearer {token}")),
    ])
}

/// Returns a header block.
pub(super) fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

/// Writes a string literal without Huffman coding (RFC 7541, 5.2); its length is an integer with a 7-bit prefix.
fn string(block: &mut Vec<u8>, text: &str) {
    const PREFIX: usize = 127;
    match text.len().checked_sub(PREFIX) {
        None => block.push(u8::try_from(text.len()).unwrap_or(0)),
        Some(mut more) => {
            block.push(0x7f);
            while more >= 0x80 {
                block.push(u8::try_from(more % 0x80).unwrap_or(0) | 0x80);
                more /= 0x80;
            }
            block.push(u8::try_from(more).unwrap_or(0));
        }
    }
    block.extend_from_slice(text.as_bytes());
}

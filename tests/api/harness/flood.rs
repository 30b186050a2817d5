//! Abusive HTTP/2 that no client library sends: hand-made frames, sent as fast as the server reads them.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::within;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113, section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of HEADERS.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// How a flood ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a GOAWAY and this error code.
    Refused(u32),
    /// The connection was closed without a GOAWAY.
    Closed,
    /// The server read all frames and kept the connection.
    Accepted,
}

/// Encodes a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Encodes the headers of a gRPC call in HPACK, without its tables.
pub(crate) fn post(path: &str) -> Vec<u8> {
    post_of(path, "application/grpc")
}

/// Encodes the headers of a POST with this content type.
pub(crate) fn post_of(path: &str, content_type: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in
        [(":path", path), (":authority", "localhost"), ("content-type", content_type), ("te", "trailers")]
    {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Sends frames over a new connection, and returns how the connection ended.
pub(crate) async fn flood(address: SocketAddr, frames: impl Iterator<Item = Vec<u8>>) -> Ended {
    let socket = within("a connection", TcpStream::connect(address)).await.unwrap();
    let (mut from, mut to) = socket.into_split();
    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        // A reset ends the connection too.
        drop(from.read_to_end(&mut read).await);
        read
    });
    let writing = async {
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        for frame in frames {
            bytes.extend(frame);
            if bytes.len() > 16 << 10 && to.write_all(&std::mem::take(&mut bytes)).await.is_err() {
                return;
            }
        }
        drop(to.write_all(&bytes).await);
    };
    within("the end of a flood", writing).await;
    // The server answers a final PING if it keeps the connection.
    let is_sent = to.write_all(&frame(PING, 0, 0, b"the last")).await.is_ok();
    drop(to.shutdown().await);
    let read = within("the end of a flooded connection", reading).await.unwrap();
    match goaway(&read) {
        Some(code) if code != 0 => Ended::Refused(code),
        _ if is_sent && read.windows(8).any(|bytes| bytes == b"the last") => Ended::Accepted,
        _ => Ended::Closed,
    }
}

/// Sends batches of frames over a new connection, awaits `after_each` after each batch, and returns the first stream that is
/// reset, and the error code.
pub(crate) async fn first_reset(
    address: SocketAddr,
    batches: impl Iterator<Item = Vec<u8>>,
    after_each: impl AsyncFn(),
) -> (u32, u32) {
    let mut socket = within("a connection", TcpStream::connect(address)).await.unwrap();
    socket.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    for batch in batches {
        within("a writer", socket.write_all(&batch)).await.unwrap();
        after_each().await;
    }
    let mut read = Vec::new();
    let reset = async {
        loop {
            if let Some((stream, payload)) = find(&read, RST_STREAM) {
                return (stream, number(payload));
            }
            assert_ne!(socket.read_buf(&mut read).await.unwrap(), 0, "the connection ended");
        }
    };
    within("a reset", reset).await
}

/// Returns the error code of a GOAWAY among the frames.
fn goaway(frames: &[u8]) -> Option<u32> {
    find(frames, GOAWAY).map(|(_, payload)| number(&payload[4..8]))
}

/// Returns the stream and the payload of the first complete frame of a type.
fn find(mut frames: &[u8], kind: u8) -> Option<(u32, &[u8])> {
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == kind {
            return Some((number(&head[5..]), payload));
        }
        frames = rest;
    }
    None
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

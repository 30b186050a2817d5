//! gRPC frames: a header of five bytes, then a message or, in gRPC-web, the trailers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;

/// The bit that marks a frame of trailers in gRPC-web.
const TRAILERS: u8 = 0x80;

/// A decoded frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Message(Bytes),
    Trailers(HeaderMap),
}

/// Frames a message.
pub(crate) fn frame(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.encoded_len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut frame).unwrap();
    frame.freeze()
}

/// Encodes frames as gRPC-web text.
pub(crate) fn to_text(frames: &[u8]) -> Bytes {
    STANDARD.encode(frames).into()
}

/// Decodes frames from chunks that may end anywhere in a frame.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    text: Option<BytesMut>,
    bytes: BytesMut,
}

impl Frames {
    /// Decodes binary frames.
    pub(crate) fn binary() -> Self {
        Self::default()
    }

    /// Decodes base64, with padding after any group of four, as the protocol allows.
    pub(crate) fn text() -> Self {
        Self { text: Some(BytesMut::new()), ..Self::default() }
    }

    /// Adds a chunk.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let Some(text) = &mut self.text else {
            self.bytes.extend_from_slice(bytes);
            return;
        };
        text.extend_from_slice(bytes);
        while text.len() >= 4 {
            let group = text.split_to(4);
            self.bytes.extend_from_slice(&STANDARD.decode(&group).unwrap());
        }
    }

    /// Returns the next complete frame.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let length = u32::from_be_bytes(self.bytes.get(1..5)?.try_into().unwrap());
        let length = usize::try_from(length).unwrap();
        if self.bytes.len() < 5 + length {
            return None;
        }
        let flags = self.bytes.get_u8();
        self.bytes.advance(4);
        let content = self.bytes.split_to(length).freeze();
        Some(if flags & TRAILERS == 0 {
            Frame::Message(content)
        } else {
            Frame::Trailers(trailers(&content))
        })
    }

    /// Returns whether no bytes are left.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.text.as_ref().is_none_or(BytesMut::is_empty)
    }
}

/// Decodes gRPC-web trailers, which have the format of HTTP/1.1 headers.
fn trailers(content: &[u8]) -> HeaderMap {
    let text = std::str::from_utf8(content).unwrap();
    let lines = text.split("\r\n").filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            let name = HeaderName::from_bytes(name.trim().as_bytes()).unwrap();
            (name, HeaderValue::from_str(value.trim()).unwrap())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_decoded_from_chunks_of_any_size() {
        let sent = [frame(&"one".to_owned()), frame(&"two".to_owned())].concat();
        let text = [STANDARD.encode(&sent[..7]), STANDARD.encode(&sent[7..])].concat();
        for (mut frames, wire) in [(Frames::binary(), sent), (Frames::text(), text.into_bytes())] {
            let mut seen = Vec::new();
            for byte in wire {
                frames.push(&[byte]);
                seen.extend(frames.next());
            }
            assert_eq!(seen.len(), 2);
            assert!(frames.is_empty());
        }
    }

    #[test]
    fn trailers_are_decoded_as_headers() {
        let mut frames = Frames::binary();
        frames.push(b"\x80\0\0\0\x20grpc-status:5\r\ngrpc-message:no\r\n");
        let Some(Frame::Trailers(trailers)) = frames.next() else { panic!("no trailers") };
        assert_eq!(trailers["grpc-status"], "5");
        assert_eq!(trailers["grpc-message"], "no");
    }
}

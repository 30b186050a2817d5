//! Messages of a room's log, framed once for everybody who gets them.

use std::{fmt, sync::Arc};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Event, Feed, Framing, own::Own};
use crate::model::{Message, StreamId};

/// A chunk is cut before it grows beyond this, but never inside a message.
const CHUNK_BYTES: usize = 32 * 1024;

/// A gRPC message's prefix: a flag byte (not compressed) and the length, big-endian.
const PREFIX_BYTES: usize = 5;

/// Consecutive messages of one room, framed; or an event, which has no messages and is left out as a whole.
#[derive(Clone)]
pub struct Chunk {
    first_seq: i64,
    bytes: Bytes,
    /// Where each message's frame ends.
    ends: Arc<[u32]>,
    /// Which messages they are, on the feed whose streams send some themselves.
    ids: Arc<[Uuid]>,
    /// The stream that does not get it.
    except: Option<StreamId>,
    /// When it was framed: with what was just said, this is the moment after its commit.
    framed: Instant,
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, count, bytes) = (self.first_seq, self.ends.len(), self.bytes.len());
        write!(f, "Chunk({count} messages from {first} on, {bytes} bytes)")
    }
}

impl Chunk {
    /// Frames consecutive messages, in as many chunks as they need.
    pub fn cut(messages: &[Message], feed: Feed, framing: Framing) -> Vec<Self> {
        let mut chunks = Vec::new();
        let mut rest = messages;
        let framed = Instant::now();
        while let Some(first) = rest.first() {
            let mut bytes = BytesMut::with_capacity(256);
            let mut ends = Vec::with_capacity(rest.len().min(256));
            for message in rest {
                let start = bytes.len();
                frame(&mut bytes, |bytes| (framing.message)(feed, message, bytes));
                if start > 0 && bytes.len() > CHUNK_BYTES {
                    bytes.truncate(start);
                    break;
                }
                ends.push(offset(bytes.len()));
            }
            let (these, later) = rest.split_at(ends.len());
            let ids = match feed {
                Feed::Chat => these.iter().map(|message| message.message_id).collect(),
                Feed::Subscribe => Arc::default(),
            };
            rest = later;
            let bytes = bytes.freeze();
            chunks.push(Self { first_seq: first.seq, bytes, ends: ends.into(), ids, except: None, framed });
        }
        chunks
    }

    /// Frames an event that stands before the message `next_seq`, for every stream but `except`.
    pub(super) fn event(event: &Event, next_seq: i64, except: Option<StreamId>, framing: Framing) -> Self {
        let (bytes, framed) = (frame_event(event, framing), Instant::now());
        Self { first_seq: next_seq, bytes, ends: Arc::default(), ids: Arc::default(), except, framed }
    }

    /// seq of the first message, or of the message after the event.
    pub fn first_seq(&self) -> i64 {
        self.first_seq
    }

    /// seq of the message after the last.
    pub fn next_seq(&self) -> i64 {
        self.first_seq + i64::try_from(self.ends.len()).unwrap_or(i64::MAX)
    }

    /// When it was framed.
    pub(super) fn framed(&self) -> Instant {
        self.framed
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes of frames there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Says whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the frames from message `seq` on, shared, as `stream` gets them: what of its own it must not get back is
    /// left out of a copy.
    pub(super) fn frames_from(&self, seq: i64, stream: StreamId, own: &Own) -> Bytes {
        if self.except == Some(stream) {
            return Bytes::new();
        }
        let skip = self.place(seq);
        if !self.ids_from(seq).iter().any(|id| own.is_left_out(id)) {
            return self.bytes.slice(self.start(skip)..);
        }
        let mut kept = BytesMut::with_capacity(self.bytes.len());
        for place in skip..self.ends.len() {
            if !self.ids.get(place).is_some_and(|id| own.is_left_out(id)) {
                kept.put_slice(&self.bytes[self.start(place)..self.ends[place] as usize]);
            }
        }
        kept.freeze()
    }

    /// Returns which messages there are from `seq` on; none on a feed whose streams send nothing.
    pub(super) fn ids_from(&self, seq: i64) -> &[Uuid] {
        self.ids.get(self.place(seq)..).unwrap_or_default()
    }

    fn place(&self, seq: i64) -> usize {
        usize::try_from(seq - self.first_seq).unwrap_or(0).min(self.ends.len())
    }

    fn start(&self, place: usize) -> usize {
        if place == 0 { 0 } else { self.ends[place - 1] as usize }
    }
}

/// Frames an event for one stream, or for all.
pub fn frame_event(event: &Event, framing: Framing) -> Bytes {
    let mut bytes = BytesMut::with_capacity(64);
    frame(&mut bytes, |bytes| (framing.event)(event, bytes));
    bytes.freeze()
}

/// Appends one gRPC message, whose bytes `encode` writes.
pub fn frame(bytes: &mut BytesMut, encode: impl FnOnce(&mut BytesMut)) {
    let start = bytes.len();
    bytes.put_bytes(0, PREFIX_BYTES);
    encode(bytes);
    let length = offset(bytes.len() - start - PREFIX_BYTES);
    bytes[start + 1..start + PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
}

fn offset(length: usize) -> u32 {
    u32::try_from(length).expect("a chunk is far below 4 GiB")
}

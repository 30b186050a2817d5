//! Messages of a room's log, framed once for all streams that send them.

use std::{fmt, sync::Arc};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    event::{Event, Framing, StreamKind},
    own_messages::OwnMessages,
};
use crate::model::{Message, Seq, StreamId};

/// A chunk has at most this many bytes, unless its only message is larger.
const CHUNK_BYTES: usize = 32 * 1024;

/// A gRPC message's prefix: a flag byte (not compressed) and the length, big-endian.
const PREFIX_BYTES: usize = 5;

/// Consecutive messages of one room, framed; or one event, which has no messages.
#[derive(Clone)]
pub struct Chunk {
    first_seq: Seq,
    bytes: Bytes,
    /// Where each message's frame ends.
    ends: Arc<[u32]>,
    /// The messages' ids. Empty for subscriptions, which send no messages of their own.
    ids: Arc<[Uuid]>,
    /// The stream that does not get the event.
    except: Option<StreamId>,
    /// When it was framed. For new messages that is right after their commit.
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
    pub fn cut(messages: &[Message], kind: StreamKind, framing: Framing) -> Vec<Self> {
        let mut chunks = Vec::new();
        let mut rest = messages;
        let framed = Instant::now();
        while let Some(first) = rest.first() {
            let mut bytes = BytesMut::with_capacity(256);
            let mut ends = Vec::with_capacity(rest.len().min(256));
            for message in rest {
                let start = bytes.len();
                frame(&mut bytes, |bytes| (framing.message)(kind, message, bytes));
                if start > 0 && bytes.len() > CHUNK_BYTES {
                    bytes.truncate(start);
                    break;
                }
                ends.push(offset(bytes.len()));
            }
            let (these, later) = rest.split_at(ends.len());
            let ids = match kind {
                StreamKind::Chat => these.iter().map(|message| message.message_id).collect(),
                StreamKind::Subscribe => Arc::default(),
            };
            rest = later;
            let bytes = bytes.freeze();
            chunks.push(Self { first_seq: first.seq, bytes, ends: ends.into(), ids, except: None, framed });
        }
        chunks
    }

    /// Frames an event to be sent before the message `next_seq`, on every stream but `except`.
    pub(super) fn event(event: &Event, next_seq: Seq, except: Option<StreamId>, framing: Framing) -> Self {
        let (bytes, framed) = (frame_event(event, framing), Instant::now());
        Self { first_seq: next_seq, bytes, ends: Arc::default(), ids: Arc::default(), except, framed }
    }

    /// Returns the seq of the first message, or of the message after the event.
    pub fn first_seq(&self) -> Seq {
        self.first_seq
    }

    /// Returns the seq of the message after the last.
    pub fn next_seq(&self) -> Seq {
        self.first_seq.skip(self.ends.len())
    }

    /// Returns when it was framed.
    pub(super) fn framed(&self) -> Instant {
        self.framed
    }

    /// Returns how many messages it has.
    pub fn messages(&self) -> usize {
        self.ends.len()
    }

    /// Returns how many bytes its frames have.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Says whether its frames have no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the frames from message `seq` on, as `stream` gets them. They are shared, unless messages of its own are
    /// suppressed: then they are a copy without those.
    pub(super) fn frames_from(&self, seq: Seq, stream: StreamId, own: &OwnMessages) -> Bytes {
        if self.except == Some(stream) {
            return Bytes::new();
        }
        let skip = self.index_of(seq);
        if !self.ids_from(seq).iter().any(|id| own.is_suppressed(id)) {
            return self.bytes.slice(self.start(skip)..);
        }
        let mut kept = BytesMut::with_capacity(self.bytes.len());
        for index in skip..self.ends.len() {
            if !self.ids.get(index).is_some_and(|id| own.is_suppressed(id)) {
                kept.put_slice(&self.bytes[self.start(index)..self.ends[index] as usize]);
            }
        }
        kept.freeze()
    }

    /// Returns the ids of the messages from `seq` on. Empty for subscriptions.
    pub(super) fn ids_from(&self, seq: Seq) -> &[Uuid] {
        self.ids.get(self.index_of(seq)..).unwrap_or_default()
    }

    fn index_of(&self, seq: Seq) -> usize {
        usize::try_from(seq.since(self.first_seq)).unwrap_or(0).min(self.ends.len())
    }

    fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] as usize }
    }
}

/// Frames an event.
pub fn frame_event(event: &Event, framing: Framing) -> Bytes {
    let mut bytes = BytesMut::with_capacity(64);
    frame(&mut bytes, |bytes| (framing.event)(event, bytes));
    bytes.freeze()
}

/// Appends one gRPC message: its prefix, and the bytes that `encode` writes.
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

//! The newest messages of a room, framed for one kind of stream.

use std::collections::VecDeque;

use super::chunk::Chunk;
use crate::model::Seq;

/// The newest chunks for one kind of stream.
#[derive(Debug, Default)]
pub(super) struct Tail {
    chunks: VecDeque<Chunk>,
    /// The ordinal of the first chunk. Ordinals only rise.
    base: u64,
    /// seq of the message after the last chunk.
    pub(super) next_seq: Seq,
    messages: usize,
    /// How many streams read these chunks.
    pub(super) streams: usize,
}

impl Tail {
    pub(super) fn get(&self, ordinal: u64) -> Option<&Chunk> {
        self.chunks.get(usize::try_from(ordinal.checked_sub(self.base)?).ok()?)
    }

    /// Returns the ordinal after the last chunk.
    pub(super) fn end(&self) -> u64 {
        self.base + self.chunks.len() as u64
    }

    /// Says whether the chunk with this ordinal was dropped.
    pub(super) fn is_dropped(&self, ordinal: u64) -> bool {
        ordinal < self.base
    }

    /// Returns the ordinal of the chunk with message `seq`, or the end if the message is not there yet. None if the message
    /// is no longer kept.
    pub(super) fn locate(&self, seq: Seq) -> Option<u64> {
        if seq >= self.next_seq {
            return Some(self.end());
        }
        let first = self.chunks.front().map_or(self.next_seq, Chunk::first_seq);
        if seq < first {
            return None;
        }
        let index = self.chunks.partition_point(|chunk| chunk.next_seq() <= seq);
        Some(self.base + index as u64)
    }

    /// Appends a chunk and returns its bytes.
    pub(super) fn push(&mut self, chunk: Chunk) -> usize {
        self.next_seq = chunk.next_seq();
        self.messages += chunk.messages();
        let bytes = chunk.len();
        self.chunks.push_back(chunk);
        bytes
    }

    /// Drops the oldest chunks while at least `keep` messages and one chunk stay, and returns the bytes that were freed.
    pub(super) fn trim(&mut self, keep: usize) -> usize {
        let mut freed = 0;
        while let Some(first) = self.chunks.front()
            && self.messages - first.messages() >= keep
            && self.chunks.len() > 1
        {
            self.messages -= first.messages();
            freed += first.len();
            self.chunks.pop_front();
            self.base += 1;
        }
        freed
    }

    /// Drops all chunks, has `next_seq` follow, and returns the bytes that were freed.
    pub(super) fn clear(&mut self, next_seq: Seq) -> usize {
        let freed = self.chunks.iter().map(Chunk::len).sum();
        self.base += self.chunks.len() as u64;
        self.chunks.clear();
        self.messages = 0;
        self.next_seq = next_seq;
        freed
    }
}

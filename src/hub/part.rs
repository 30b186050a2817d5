//! One room's streams on one shard.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Waker,
};

use slab::Slab;

use super::{
    chunk::Chunk,
    event::StreamKind,
    slot::{Slot, Tick},
    tail::Tail,
};
use crate::model::{StreamId, Timestamp, UserId};

/// One room's streams on one shard, and the chunks that they read.
#[derive(Debug, Default)]
pub(super) struct Part {
    subscribe: Tail,
    chat: Tail,
    pub(super) slots: Slab<Slot>,
    /// Whether the shard has been notified and has not woken the streams yet.
    is_notified: bool,
}

impl Part {
    pub(super) fn tail(&self, kind: StreamKind) -> &Tail {
        match kind {
            StreamKind::Subscribe => &self.subscribe,
            StreamKind::Chat => &self.chat,
        }
    }

    pub(super) fn tail_mut(&mut self, kind: StreamKind) -> &mut Tail {
        match kind {
            StreamKind::Subscribe => &mut self.subscribe,
            StreamKind::Chat => &mut self.chat,
        }
    }

    /// Returns a stream's slot and the chunks that it reads.
    pub(super) fn tail_and_slot(&mut self, kind: StreamKind, index: usize) -> (&Tail, &mut Slot) {
        let tail = match kind {
            StreamKind::Subscribe => &self.subscribe,
            StreamKind::Chat => &self.chat,
        };
        (tail, &mut self.slots[index])
    }

    /// Returns how many streams are parked: they have a slot and do not count as readers.
    pub(super) fn parked(&self) -> usize {
        // A stream that has just been parked counts as a reader for a moment longer, and may end in between.
        self.slots.len().saturating_sub(self.subscribe.streams + self.chat.streams)
    }

    /// Appends chunks if a stream of this kind is here. Says whether the shard must be notified.
    pub(super) fn push(
        &mut self,
        kind: StreamKind,
        chunks: &[Chunk],
        memory: &AtomicUsize,
        shards: usize,
    ) -> bool {
        let tail = self.tail_mut(kind);
        if tail.streams == 0 || chunks.is_empty() {
            return false;
        }
        let bytes: usize = chunks.iter().map(|chunk| tail.push(chunk.clone())).sum();
        memory.fetch_add(bytes / shards, Ordering::Relaxed);
        !std::mem::replace(&mut self.is_notified, true)
    }

    /// Drops the oldest chunks while at least `keep` messages stay for each kind of stream.
    pub(super) fn trim(&mut self, keep: usize, memory: &AtomicUsize, shards: usize) {
        let freed = self.subscribe.trim(keep) + self.chat.trim(keep);
        release_memory(memory, freed / shards);
    }

    /// Drops all chunks and returns the bytes that were freed.
    pub(super) fn drop_chunks(&mut self) -> usize {
        let (subscribe, chat) = (self.subscribe.next_seq, self.chat.next_seq);
        self.subscribe.clear(subscribe) + self.chat.clear(chat)
    }

    /// Removes a reader. With the last reader of a kind its chunks are dropped.
    pub(super) fn remove_reader(&mut self, kind: StreamKind, memory: &AtomicUsize, shards: usize) {
        let tail = self.tail_mut(kind);
        tail.streams -= 1;
        if tail.streams == 0 {
            let freed = tail.clear(tail.next_seq);
            release_memory(memory, freed / shards);
        }
    }

    /// Takes the wakers of all idle streams.
    pub(super) fn take_wakers(&mut self, second: u32, wakers: &mut Vec<Waker>) {
        self.is_notified = false;
        for (_, slot) in &mut self.slots {
            wakers.extend(slot.take_waker(second));
        }
    }

    /// Does what is due once a second, and returns the streams that were parked.
    pub(super) fn tick(
        &mut self,
        second: u32,
        now: Timestamp,
        wakers: &mut Vec<Waker>,
    ) -> Vec<(UserId, StreamId, StreamKind)> {
        let mut parked = Vec::new();
        for (_, slot) in &mut self.slots {
            match slot.tick(second, now) {
                Tick::Nothing => {}
                Tick::Wake(waker) => wakers.push(waker),
                Tick::Parked => parked.push((slot.identity.user, slot.stream, slot.kind)),
            }
        }
        parked
    }
}

/// Subtracts freed bytes from the count, which rounding may have left a little smaller.
pub(super) fn release_memory(memory: &AtomicUsize, freed: usize) {
    let subtract = |bytes: usize| Some(bytes.saturating_sub(freed));
    // The closure always returns a value, so the update cannot fail.
    let _ = memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
}

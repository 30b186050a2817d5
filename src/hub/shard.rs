//! A shard's part of the hub: the streams that its thread serves.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::Waker,
};

use bytes::Bytes;
use slab::Slab;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    Chunk, Connection, Feed, Permit, Room,
    aside::{Alone, Aside},
    own::Own,
    sync::Mutex,
};
use crate::{
    metrics::STREAMS_PARKED,
    model::{ChatIdentity, Epochs, Error, StreamId, Timestamp, UserId},
};

/// A stream that was not polled for so many seconds, though there is something to send, is parked; and a
/// connection on which nothing else is left is closed after as many more.
const PARK_SECONDS: u32 = 30;

/// What one shard's thread is told: which rooms have news, and what second it is.
#[derive(Debug, Default)]
pub(super) struct Shard {
    inbox: Mutex<Vec<Arc<Room>>>,
    news: Notify,
    seconds: AtomicU32,
}

impl Shard {
    /// Has the shard's thread wake the streams of a room.
    pub(super) fn tell(&self, room: Arc<Room>) {
        self.inbox.lock().push(room);
        self.news.notify_one();
    }

    pub(super) async fn notified(&self) {
        self.news.notified().await;
    }

    pub(super) fn take(&self) -> Vec<Arc<Room>> {
        std::mem::take(&mut *self.inbox.lock())
    }

    /// Returns the seconds since the shard began.
    pub(super) fn now(&self) -> u32 {
        self.seconds.load(Ordering::Relaxed)
    }

    pub(super) fn tick(&self) -> u32 {
        self.seconds.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Why a stream ends.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// With OK, once everything up to this seq has been sent.
    After(i64),
    /// With a refusal, at once.
    Refused(Error),
}

/// One stream of the shard.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) feed: Feed,
    pub(super) stream: StreamId,
    pub(super) identity: Arc<ChatIdentity>,
    /// The epochs at which the identity was found to stand.
    pub(super) checked: Epochs,
    pub(super) connection: Arc<Connection>,
    pub(super) permit: Option<Permit>,
    pub(super) waker: Option<Waker>,
    /// Frames for this stream alone.
    pub(super) aside: Aside,
    /// Its own messages that it has not gone past.
    pub(super) own: Own,
    pub(super) end: Option<End>,
    /// After how many silent seconds a heartbeat is due.
    pub(super) heartbeat: Option<u32>,
    pub(super) is_heartbeat_due: bool,
    /// Since when the stream should have been polled.
    pub(super) waiting: Option<u32>,
    pub(super) last_sent: u32,
    pub(super) parked: Option<u32>,
}

/// The newest chunks of one feed.
#[derive(Debug, Default)]
pub(super) struct Tail {
    chunks: VecDeque<Chunk>,
    /// The ordinal of the first chunk. Ordinals only rise.
    base: u64,
    /// seq of the message after the last chunk.
    pub(super) next_seq: i64,
    messages: usize,
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

    /// Says whether this ordinal was dropped.
    pub(super) fn is_gone(&self, ordinal: u64) -> bool {
        ordinal < self.base
    }

    /// Finds the chunk from which message `seq` on can be read; none where it is no longer kept.
    pub(super) fn locate(&self, seq: i64) -> Option<u64> {
        if seq >= self.next_seq {
            return Some(self.end());
        }
        let first = self.chunks.front().map_or(self.next_seq, Chunk::first_seq);
        if seq < first {
            return None;
        }
        let place = self.chunks.partition_point(|chunk| chunk.next_seq() <= seq);
        Some(self.base + place as u64)
    }

    fn push(&mut self, chunk: Chunk) -> usize {
        self.next_seq = chunk.next_seq();
        self.messages += chunk.messages();
        let bytes = chunk.len();
        self.chunks.push_back(chunk);
        bytes
    }

    /// Drops the oldest chunks while `keep` messages stay, and returns the bytes that were freed.
    fn trim(&mut self, keep: usize) -> usize {
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

    /// Drops everything, and returns the bytes that were freed.
    pub(super) fn clear(&mut self, next_seq: i64) -> usize {
        let freed = self.chunks.iter().map(Chunk::len).sum();
        self.base += self.chunks.len() as u64;
        self.chunks.clear();
        self.messages = 0;
        self.next_seq = next_seq;
        freed
    }
}

/// One room's streams of one shard.
#[derive(Debug, Default)]
pub(super) struct Part {
    subscribe: Tail,
    chat: Tail,
    pub(super) slots: Slab<Slot>,
    /// Whether the shard has been told already.
    dirty: bool,
}

impl Part {
    pub(super) fn tail(&self, feed: Feed) -> &Tail {
        match feed {
            Feed::Subscribe => &self.subscribe,
            Feed::Chat => &self.chat,
        }
    }

    /// Returns what a stream reads, and its slot.
    pub(super) fn tail_and_slot(&mut self, feed: Feed, key: usize) -> (&Tail, &mut Slot) {
        let tail = match feed {
            Feed::Subscribe => &self.subscribe,
            Feed::Chat => &self.chat,
        };
        (tail, &mut self.slots[key])
    }

    pub(super) fn tail_mut(&mut self, feed: Feed) -> &mut Tail {
        match feed {
            Feed::Subscribe => &mut self.subscribe,
            Feed::Chat => &mut self.chat,
        }
    }

    /// Returns how many streams are set aside: they have a slot and read nothing.
    pub(super) fn parked(&self) -> usize {
        // One that has just been set aside is counted out a moment later, and may be gone by then.
        self.slots.len().saturating_sub(self.subscribe.streams + self.chat.streams)
    }

    /// Adds chunks to a feed that somebody here reads. Says whether the shard must be told.
    pub(super) fn push(&mut self, feed: Feed, chunks: &[Chunk], memory: &AtomicUsize, shards: usize) -> bool {
        let tail = self.tail_mut(feed);
        if tail.streams == 0 || chunks.is_empty() {
            return false;
        }
        let bytes: usize = chunks.iter().map(|chunk| tail.push(chunk.clone())).sum();
        memory.fetch_add(bytes / shards, Ordering::Relaxed);
        !std::mem::replace(&mut self.dirty, true)
    }

    /// Drops the oldest chunks of both feeds while `keep` messages stay.
    pub(super) fn trim(&mut self, keep: usize, memory: &AtomicUsize, shards: usize) {
        let freed = self.subscribe.trim(keep) + self.chat.trim(keep);
        give_back(memory, freed / shards);
    }

    /// Drops every chunk, and returns the bytes that were freed.
    pub(super) fn forget(&mut self) -> usize {
        let (subscribe, chat) = (self.subscribe.next_seq, self.chat.next_seq);
        self.subscribe.clear(subscribe) + self.chat.clear(chat)
    }

    /// Counts a stream out; the last one of a feed takes its chunks with it.
    pub(super) fn stop_reading(&mut self, feed: Feed, memory: &AtomicUsize, shards: usize) {
        let tail = self.tail_mut(feed);
        tail.streams -= 1;
        if tail.streams == 0 {
            let freed = tail.clear(tail.next_seq);
            give_back(memory, freed / shards);
        }
    }

    /// Takes the wakers of all streams that wait for news.
    pub(super) fn take_wakers(&mut self, second: u32, wakers: &mut Vec<Waker>) {
        self.dirty = false;
        for (_, slot) in &mut self.slots {
            wakers.extend(slot.wake(second));
        }
    }

    /// Does what is due once a second, and returns the streams that were parked.
    pub(super) fn tick(
        &mut self,
        second: u32,
        now: Timestamp,
        wakers: &mut Vec<Waker>,
    ) -> Vec<(UserId, StreamId, Feed)> {
        let mut parked = Vec::new();
        for (_, slot) in &mut self.slots {
            if let Some(since) = slot.parked {
                if second - since >= PARK_SECONDS {
                    slot.connection.close_if_all_parked();
                }
                continue;
            }
            if slot.waiting.is_some_and(|since| second - since >= PARK_SECONDS) {
                slot.park(second);
                parked.push((slot.identity.user, slot.stream, slot.feed));
                continue;
            }
            if slot.end.is_none() && slot.identity.expires_at <= now {
                slot.end = Some(End::Refused(Error::TokenExpired));
                wakers.extend(slot.wake(second));
            } else if slot.end.is_none() && slot.connection.is_retired() {
                slot.end = Some(End::Refused(Error::Draining));
                wakers.extend(slot.wake(second));
            } else if slot.heartbeat.is_some_and(|silence| second - slot.last_sent >= silence) {
                slot.is_heartbeat_due = true;
                wakers.extend(slot.wake(second));
            }
        }
        parked
    }
}

impl Slot {
    /// Returns what wakes the stream, once there is something for it. From now on it should be polled.
    #[must_use]
    pub(super) fn wake(&mut self, second: u32) -> Option<Waker> {
        let waker = self.waker.take()?;
        self.waiting.get_or_insert(second);
        Some(waker)
    }

    /// Says whether nothing is sent any more but the refusal with which the stream ends.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.end, Some(End::Refused(_)))
    }

    /// Keeps frames for this stream alone. Where its client does not read them, it ends, and its client resumes.
    pub(super) fn put_aside(&mut self, alone: Alone) {
        if self.is_refused() {
            return;
        }
        self.aside.push(alone);
        if self.aside.is_too_much() {
            self.fall_behind();
        }
    }

    /// Takes the next frames that are for this stream alone, to be put into it: its next message is `next_seq`. What the
    /// log is about to tell need not be told before, and is answered by that.
    pub(super) fn take_aside(&mut self, next_seq: i64) -> Option<Bytes> {
        loop {
            let alone = self.aside.pop()?;
            if alone.repeats.is_some_and(|seq| seq >= next_seq) {
                continue;
            }
            if let Some(message) = alone.answers {
                self.own.answered(message);
            }
            return Some(alone.frames);
        }
    }

    /// Leaves a message of this stream's out of what it gets.
    pub(super) fn leave_out(&mut self, message: Uuid) {
        if !self.own.leave_out(message) {
            self.fall_behind();
        }
    }

    /// Drops what waits for a client that does not read: its stream ends, and it resumes.
    fn fall_behind(&mut self) {
        self.aside = Aside::default();
        self.own = Own::default();
        self.end = Some(End::Refused(Error::StreamBehind));
    }

    /// Drops what the stream holds: polled again, it ends and its client resumes.
    fn park(&mut self, second: u32) {
        self.parked = Some(second);
        STREAMS_PARKED.increment();
        self.fall_behind();
        self.permit = None;
        self.connection.park();
    }
}

/// Takes what was freed from the count, which rounding may have left a little smaller.
pub(super) fn give_back(memory: &AtomicUsize, freed: usize) {
    let less = |bytes: usize| Some(bytes.saturating_sub(freed));
    // The closure always answers, so the update cannot fail.
    let _ = memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
}

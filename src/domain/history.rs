//! Pages of the log for streams that are behind what is kept in memory.
//!
//! Pages are aligned, framed once and shared: when thousands of streams come back at once, each page is read once
//! for all of them.

use std::sync::Arc;

use moka::future::Cache;

use super::seam;
use crate::{
    faults::{self, Fault},
    hub::{Chunk, Era, Feed, Framing, Room},
    metrics::{CATCH_UP_READS, PAGES_READ},
    model::{Error, Result, RoomId},
    store::Store,
};

/// How many messages a page has; pages begin at 1, 129, 257 …
const PAGE: i64 = 128;

/// How many bytes of pages are kept.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    room: RoomId,
    /// What was read in an era, or began to be, is not told in the next.
    era: Era,
    feed: Feed,
    first: i64,
    /// The newest page grows: it is another page then.
    last: i64,
}

/// A handle to the pages. Clones share them.
#[derive(Clone)]
pub(super) struct History {
    store: Store,
    framing: Framing,
    pages: Cache<Key, Arc<[Chunk]>>,
}

impl History {
    /// Makes an empty cache.
    pub(super) fn new(store: Store, framing: Framing) -> Self {
        let weight = |_: &Key, page: &Arc<[Chunk]>| {
            let bytes: usize = page.iter().map(Chunk::len).sum();
            u32::try_from(bytes + 128).unwrap_or(u32::MAX)
        };
        Self { store, framing, pages: Cache::builder().weigher(weight).max_capacity(CACHE_BYTES).build() }
    }

    /// Returns the chunk that holds message `seq` of a room's log, whose newest message the room knows.
    ///
    /// # Errors
    /// [`Error::LogReset`] where the log does not have that message, or is another than was told, and failures of the
    /// database.
    pub(super) async fn chunk(&self, room: &Room, feed: Feed, seq: i64) -> Result<Chunk> {
        CATCH_UP_READS.increment();
        let last_seq = room.head().map_or(seq, |(last_seq, _)| last_seq);
        let first = (seq - 1).div_euclid(PAGE) * PAGE + 1;
        let last = if faults::is(Fault::StalePage) { i64::MAX } else { last_seq };
        let key = Key { room: room.id(), era: room.era(), feed, first, last: last.min(first + PAGE - 1) };
        let page =
            self.pages.try_get_with(key, self.read(key)).await.map_err(|error| Error::clone(&error))?;
        // Whoever is behind would go over from one log to another. It resumes, and its last message decides.
        if !seam::holds(&self.store, room).await? {
            return Err(Error::LogReset);
        }
        self.store.settled().await?;
        let chunk = page.iter().find(|chunk| chunk.first_seq() <= seq && seq < chunk.next_seq());
        chunk.cloned().ok_or(Error::LogReset)
    }

    /// Gives the memory of all pages back.
    pub(super) fn clear(&self) {
        self.pages.invalidate_all();
    }

    async fn read(&self, key: Key) -> Result<Arc<[Chunk]>> {
        PAGES_READ.increment();
        let messages = self.store.page(key.room, key.first, key.last).await?;
        Ok(Chunk::cut(&messages, key.feed, self.framing).into())
    }
}

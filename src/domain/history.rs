//! Pages of the log, for streams that are behind what is kept in memory.
//!
//! Pages are aligned, framed once and shared: when thousands of streams reconnect at once, each page is read once.

use std::sync::Arc;

use moka::future::Cache;

use super::log_continuity;
use crate::{
    faults::{self, Fault},
    hub::{CacheGeneration, Chunk, Framing, Room, StreamKind},
    metrics::{CATCH_UP_READS, PAGES_READ},
    model::{Error, Result, RoomId, Seq},
    store::Store,
};

/// How many messages a page holds. Pages begin at seq 1, 129, 257, and so on.
const PAGE_SIZE: i64 = 128;

/// How many bytes of pages are cached.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PageKey {
    room: RoomId,
    /// A page whose read began in an earlier generation is not used.
    generation: CacheGeneration,
    kind: StreamKind,
    first: Seq,
    /// The newest page grows, and is then another page.
    last: Seq,
}

/// A cache of pages. Clones share it.
#[derive(Clone)]
pub(super) struct History {
    store: Store,
    framing: Framing,
    pages: Cache<PageKey, Arc<[Chunk]>>,
}

impl History {
    /// Creates an empty cache.
    pub(super) fn new(store: Store, framing: Framing) -> Self {
        let weight = |_: &PageKey, page: &Arc<[Chunk]>| {
            let bytes: usize = page.iter().map(Chunk::len).sum();
            u32::try_from(bytes + 128).unwrap_or(u32::MAX)
        };
        Self { store, framing, pages: Cache::builder().weigher(weight).max_capacity(CACHE_BYTES).build() }
    }

    /// Returns the chunk that holds message `seq` of a room's log. The room knows its newest message.
    ///
    /// # Errors
    /// [`Error::LogReset`] where the log does not hold that message, or is not the log that was published; failures of the
    /// database.
    pub(super) async fn chunk(&self, room: &Room, kind: StreamKind, seq: Seq) -> Result<Chunk> {
        CATCH_UP_READS.increment();
        let last_seq = room.head().map_or(seq, |(last_seq, _)| last_seq);
        let first = Seq((seq.previous().0).div_euclid(PAGE_SIZE) * PAGE_SIZE).next();
        let last = if faults::is(Fault::StalePage) { Seq::MAX } else { last_seq };
        let key = PageKey {
            room: room.id(),
            generation: room.cache_generation(),
            kind,
            first,
            last: last.min(Seq(first.previous().0 + PAGE_SIZE)),
        };
        let page =
            self.pages.try_get_with(key, self.read(key)).await.map_err(|error| Error::clone(&error))?;
        // A stream that is behind must not change over from one log to another. It resumes, and its last message decides.
        if !log_continuity::holds(&self.store, room).await? {
            return Err(Error::LogReset);
        }
        self.store.wait_for_standby().await?;
        let chunk = page.iter().find(|chunk| chunk.first_seq() <= seq && seq < chunk.next_seq());
        chunk.cloned().ok_or(Error::LogReset)
    }

    /// Drops all pages.
    pub(super) fn clear(&self) {
        self.pages.invalidate_all();
    }

    async fn read(&self, key: PageKey) -> Result<Arc<[Chunk]>> {
        PAGES_READ.increment();
        let messages = self.store.page(key.room, key.first, key.last).await?;
        Ok(Chunk::cut(&messages, key.kind, self.framing).into())
    }
}

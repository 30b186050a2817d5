//! Cache generations: pages of a room's log that were framed in one are not sent in the next.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Identifies a period in which cached frames of a room's log stay valid. A new one begins when a room is opened anew, since
/// its log may have gone back meanwhile, and when the names of a room's authors must be forgotten. No generation comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheGeneration(u64);

/// The source of generations. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::hub) struct CacheGenerations(Arc<AtomicU64>);

impl CacheGenerations {
    /// Returns a new generation.
    pub(in crate::hub) fn begin(&self) -> CacheGeneration {
        CacheGeneration(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

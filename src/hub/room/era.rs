//! Eras: what was framed or read in one is not told in the next.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Names a time in which what was framed of a room's log is right. A room that is opened anew begins one, since its log
/// may have gone back meanwhile, and so does a room whose authors' names are to be forgotten. No two are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Era(u64);

/// Where eras come from. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::hub) struct Eras(Arc<AtomicU64>);

impl Eras {
    /// Begins an era that was not before.
    pub(in crate::hub) fn begin(&self) -> Era {
        Era(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

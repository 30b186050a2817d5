//! User names that are kept in memory, inside frames of messages.

use super::{history::History, log::after_append_timeout, tasks::Tasks};
use crate::hub::Hub;

/// Drops frames with the names of deleted accounts. Clones share everything.
#[derive(Clone)]
pub struct NameCache {
    hub: Hub,
    history: History,
    tasks: Tasks,
}

impl NameCache {
    /// Covers the frames of these.
    pub(super) fn new(hub: Hub, history: History, tasks: Tasks) -> Self {
        Self { hub, history, tasks }
    }

    /// Drops every frame that may hold the name of an account that was just deleted: now, and again once messages that its
    /// owner sent just before are published.
    pub fn invalidate(&self) {
        self.invalidate_now();
        let names = self.clone();
        after_append_timeout(&self.tasks, move || names.invalidate_now());
    }

    /// Drops every frame. A page that is being read belongs to the cache generation that ends here; a room that is opened
    /// later begins a new one.
    pub fn invalidate_now(&self) {
        for room in self.hub.rooms() {
            room.invalidate_frames();
        }
        self.history.clear();
    }
}

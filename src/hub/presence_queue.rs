//! The rooms whose presence may have changed since it was published.

use std::{collections::HashSet, sync::Arc};

use tokio::sync::Notify;

use super::sync::Mutex;
use crate::model::RoomId;

/// A queue of rooms in which a room is at most once. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct PresenceQueue(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rooms: Mutex<HashSet<RoomId>>,
    added: Notify,
}

impl PresenceQueue {
    /// Adds a room and ends [`Self::wait`].
    pub(super) fn add(&self, room: RoomId) {
        if self.0.rooms.lock().insert(room) {
            self.0.added.notify_one();
        }
    }

    /// Adds a room that is to be looked at again in the next round.
    pub(super) fn add_again(&self, room: RoomId) {
        self.0.rooms.lock().insert(room);
    }

    /// Waits until there is a room.
    pub(super) async fn wait(&self) {
        if self.0.rooms.lock().is_empty() {
            self.0.added.notified().await;
        }
    }

    /// Takes all rooms.
    pub(super) fn take(&self) -> HashSet<RoomId> {
        std::mem::take(&mut *self.0.rooms.lock())
    }
}

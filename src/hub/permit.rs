//! The limit on each user's open streams, and the rooms that those streams are in.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::sync::Mutex;
use crate::model::{Error, Result, RoomId, UserId};

/// The rooms of each user's open streams: one entry for each stream.
type Open = Arc<Mutex<HashMap<UserId, Vec<RoomId>>>>;

/// Counts the open streams of each user by room. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Permits {
    limit: usize,
    open: Open,
}

/// One open stream of a user. Dropping it lets the user open another.
#[derive(Debug)]
pub struct Permit {
    user: UserId,
    room: RoomId,
    open: Open,
}

impl Permits {
    /// Allows `limit` streams for each user; 0 means no limit.
    pub fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// Acquires a permit for a stream in a room.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] if the user has as many streams open as the limit allows.
    pub fn acquire(&self, user: UserId, room: RoomId) -> Result<Permit> {
        let mut open = self.open.lock();
        let rooms = open.entry(user).or_default();
        if self.limit > 0 && rooms.len() >= self.limit {
            return Err(Error::TooManyStreams { limit: self.limit });
        }
        rooms.push(room);
        Ok(Permit { user, room, open: Arc::clone(&self.open) })
    }

    /// Returns the rooms in which a user has streams open, each once.
    pub fn rooms(&self, user: UserId) -> HashSet<RoomId> {
        self.open.lock().get(&user).into_iter().flatten().copied().collect()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(rooms) = open.get_mut(&self.user) {
            if let Some(index) = rooms.iter().position(|room| *room == self.room) {
                rooms.swap_remove(index);
            }
            if rooms.is_empty() {
                open.remove(&self.user);
            }
        }
    }
}

//! The bound on each user's open streams, and where they are.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::sync::Mutex;
use crate::model::{Error, Result, RoomId, UserId};

/// The rooms of each user's open streams: one for each stream.
type Open = Arc<Mutex<HashMap<UserId, Vec<RoomId>>>>;

/// Counts the open streams of each user, and knows where they are. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Permits {
    limit: usize,
    open: Open,
}

/// One open stream of a user; dropping it makes room for another.
#[derive(Debug)]
pub struct Permit {
    user: UserId,
    room: RoomId,
    open: Open,
}

impl Permits {
    /// Allows `limit` streams a user; 0 is any number.
    pub fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// Takes a permit for a stream in a room.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] where the user has as many as may be: the new one is refused.
    pub fn take(&self, user: UserId, room: RoomId) -> Result<Permit> {
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
            if let Some(place) = rooms.iter().position(|room| *room == self.room) {
                rooms.swap_remove(place);
            }
            if rooms.is_empty() {
                open.remove(&self.user);
            }
        }
    }
}

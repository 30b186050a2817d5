//! The bound on each user's open streams.

use std::{collections::HashMap, sync::Arc};

use super::sync::Mutex;
use crate::model::{Error, Result, UserId};

/// Counts the open streams of each user. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Permits {
    limit: usize,
    open: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// One open stream of a user; dropping it makes room for another.
#[derive(Debug)]
pub struct Permit {
    user: UserId,
    open: Arc<Mutex<HashMap<UserId, usize>>>,
}

impl Permits {
    /// Allows `limit` streams a user; 0 is any number.
    pub fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// Takes a permit.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] where the user has as many as may be: the new one is refused.
    pub fn take(&self, user: UserId) -> Result<Permit> {
        let mut open = self.open.lock();
        let count = open.entry(user).or_default();
        if self.limit > 0 && *count >= self.limit {
            return Err(Error::TooManyStreams { limit: self.limit });
        }
        *count += 1;
        Ok(Permit { user, open: Arc::clone(&self.open) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(count) = open.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}

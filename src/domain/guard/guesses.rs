use std::time::Duration;

use super::hour::Hour;
use crate::model::Result;

/// The passwords that one address tries.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    wrong: Hour,
    under_way: u32,
    waiting: u32,
}

/// When a password may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// Once others are answered, if enough of them are right.
    Later,
}

/// How many may wait for their turn: about as many as find a place in the queue of passwords.
const MOST_WAITING: u32 = 64;

impl Guesses {
    /// Begins to try one, unless as many are under way as the hour has left.
    pub(super) fn begin(&mut self, now: Duration, limit: u32) -> Result<Turn> {
        let left = self.wrong.left(now, limit)?;
        if self.under_way >= left {
            return Ok(Turn::Later);
        }
        self.under_way += 1;
        Ok(Turn::Now)
    }

    /// Counts one that was wrong.
    pub(super) fn count(&mut self, now: Duration) {
        self.wrong.add(now);
    }

    /// Ends one. Where the address was forgotten meanwhile, nothing is under way.
    pub(super) const fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    pub(super) const fn queue(&mut self) -> bool {
        let fits = self.waiting < MOST_WAITING;
        if fits {
            self.waiting += 1;
        }
        fits
    }

    pub(super) const fn leave_queue(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }
}

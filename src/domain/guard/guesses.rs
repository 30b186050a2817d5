use std::time::Duration;

use super::hour::Hour;
use crate::model::Result;

/// The passwords and short codes that one place, user or session tries.
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

/// When to come again where only passwords that are being tried are in the way.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// How many may wait for their turn: about as many as find a place in the queue of passwords.
const MOST_WAITING: u32 = 64;

impl Guesses {
    /// Says whether one may be tried now: not while as many are under way as the hour has left.
    pub(super) fn turn(&mut self, now: Duration, limit: u32) -> Result<Turn> {
        let left = self.wrong.left(now, limit)?;
        Ok(if self.under_way < left { Turn::Now } else { Turn::Later })
    }

    /// Begins to try one.
    pub(super) const fn begin(&mut self) {
        self.under_way += 1;
    }

    /// Ends one. Where the entry was forgotten meanwhile, nothing is under way.
    pub(super) const fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Counts one that was wrong.
    pub(super) fn count(&mut self, now: Duration) {
        self.wrong.add(now);
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

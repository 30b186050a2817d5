use std::time::Duration;

use super::guesses::{SOON, Turn};
use crate::model::{Error, Result};

/// The wrong passwords for one target that came from one place.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
    last: Duration,
    under_way: u32,
}

/// How fast wrong passwords are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Five cost no delay; then it doubles from a second to a minute.
    Usual,
    /// One costs no delay; then it is a quarter of an hour. For a target that is guessed at from many places.
    Strict,
}

/// After this long without another, wrong passwords are forgotten.
const MEMORY: Duration = Duration::from_secs(60 * 60);

impl Pace {
    /// How many wrong passwords cost no delay.
    const fn free(self) -> u32 {
        match self {
            Self::Usual => 5,
            Self::Strict => 1,
        }
    }

    /// The delay after `beyond` more than the free ones.
    fn delay(self, beyond: u32) -> Duration {
        match self {
            Self::Usual => Duration::from_secs(1 << beyond.min(6)).min(Duration::from_secs(60)),
            Self::Strict => Duration::from_secs(15 * 60),
        }
    }
}

impl Failures {
    /// Says whether a password may be tried now. No more are tried at once than could be wrong without a delay, and
    /// one at a time after that: many at once are as few as many in a row.
    pub(super) fn turn(&mut self, now: Duration, pace: Pace) -> Result<Turn> {
        if self.under_way == 0 && now.saturating_sub(self.last) > MEMORY {
            *self = Self::default();
        }
        let Some(beyond) = self.count.checked_sub(pace.free()) else {
            let fits = self.count + self.under_way < pace.free();
            return Ok(if fits { Turn::Now } else { Turn::Later });
        };
        let retry_after = (self.last + pace.delay(beyond)).saturating_sub(now);
        match (retry_after.is_zero(), self.under_way) {
            (true, 0) => Ok(Turn::Now),
            (true, _) => Err(Error::RateLimited { retry_after: SOON }),
            (false, _) => Err(Error::RateLimited { retry_after }),
        }
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
    pub(super) const fn count(&mut self, now: Duration) {
        self.count = self.count.saturating_add(1);
        self.last = now;
    }

    /// Forgets the wrong ones: the password is known here.
    pub(super) const fn forgive(&mut self) {
        self.count = 0;
    }

    /// Says whether there is nothing to remember.
    pub(super) const fn is_idle(&self) -> bool {
        self.count == 0 && self.under_way == 0
    }
}

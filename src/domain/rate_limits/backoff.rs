//! Backoff after wrong passwords.

use std::time::Duration;

use super::guess_window::{Admission, RETRY_SOON};
use crate::model::{Error, Result};

/// The wrong passwords of one guesser at one target.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
    last: Duration,
    in_flight: u32,
}

/// How fast wrong passwords are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backoff {
    /// Five wrong passwords are free; then the delay doubles from 1 s to 60 s.
    Exponential,
    /// One wrong password is free; then the delay is 15 minutes. For a target at which many networks guess.
    Strict,
}

/// Wrong passwords are forgotten when this time has passed without another.
const MEMORY: Duration = Duration::from_secs(60 * 60);

impl Backoff {
    /// Returns the number of wrong passwords without a delay.
    const fn free(self) -> u32 {
        match self {
            Self::Exponential => 5,
            Self::Strict => 1,
        }
    }

    /// Returns the delay after `beyond` wrong passwords more than the free ones.
    fn delay(self, beyond: u32) -> Duration {
        match self {
            Self::Exponential => Duration::from_secs(1 << beyond.min(6)).min(Duration::from_secs(60)),
            Self::Strict => Duration::from_secs(15 * 60),
        }
    }
}

impl Failures {
    /// Decides whether a password may be tried now. At most as many run at once as are free, then one at a time, so
    /// guessing in parallel gains nothing.
    pub(super) fn admit(&mut self, now: Duration, backoff: Backoff) -> Result<Admission> {
        if self.in_flight == 0 && now.saturating_sub(self.last) > MEMORY {
            *self = Self::default();
        }
        let Some(beyond) = self.count.checked_sub(backoff.free()) else {
            let fits = self.count + self.in_flight < backoff.free();
            return Ok(if fits { Admission::Now } else { Admission::Later });
        };
        let retry_after = (self.last + backoff.delay(beyond)).saturating_sub(now);
        match (retry_after.is_zero(), self.in_flight) {
            (true, 0) => Ok(Admission::Now),
            (true, _) => Err(Error::RateLimited { retry_after: RETRY_SOON }),
            (false, _) => Err(Error::RateLimited { retry_after }),
        }
    }

    /// Begins an attempt.
    pub(super) const fn begin(&mut self) {
        self.in_flight += 1;
    }

    /// Ends an attempt. The count is 0 already if the entry was dropped meanwhile.
    pub(super) const fn end(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Counts a wrong password.
    pub(super) const fn count(&mut self, now: Duration) {
        self.count = self.count.saturating_add(1);
        self.last = now;
    }

    /// Forgets the wrong passwords, after the right one.
    pub(super) const fn forgive(&mut self) {
        self.count = 0;
    }

    /// Returns whether the entry holds nothing.
    pub(super) const fn is_idle(&self) -> bool {
        self.count == 0 && self.in_flight == 0
    }
}

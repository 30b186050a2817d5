//! A token bucket.

use std::time::Duration;

use crate::model::{Error, Result};

/// A rate with a burst, as the generic cell rate algorithm (ITU-T I.371): the bucket's state is the time at which it is
/// empty again.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    each: Duration,
    holds: Duration,
}

impl TokenBucket {
    /// Returns a bucket for this rate, whose burst is `burst_seconds` of the rate; `None` for a rate of 0, which is no
    /// limit.
    pub(super) fn new(per_second: u32, burst_seconds: u32) -> Option<Self> {
        let each = Duration::from_secs(1).checked_div(per_second)?;
        Some(Self { each, holds: each * per_second * burst_seconds })
    }

    /// Adds `count` to the bucket whose state is `empty_at`.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where they do not fit, with the time after which they do.
    pub(super) fn take(self, empty_at: &mut Duration, now: Duration, count: u32) -> Result<()> {
        let next = (*empty_at).max(now) + self.each * count;
        match (next - now).checked_sub(self.holds) {
            Some(retry_after) if !retry_after.is_zero() => Err(Error::RateLimited { retry_after }),
            _ => {
                *empty_at = next;
                Ok(())
            }
        }
    }
}

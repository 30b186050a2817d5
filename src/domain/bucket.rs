use std::time::Duration;

use crate::model::{Error, Result};

/// A rate and its burst: a bucket that drains at `rate`, kept as the moment when it is empty (the generic cell rate
/// algorithm, ITU-T I.371).
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    each: Duration,
    holds: Duration,
}

impl Bucket {
    /// Makes a rule of so many a second, of which `burst_seconds`' worth may come at once; none where there is no limit.
    pub(super) fn of(per_second: u32, burst_seconds: u32) -> Option<Self> {
        let each = Duration::from_secs(1).checked_div(per_second)?;
        Some(Self { each, holds: each * per_second * burst_seconds })
    }

    /// Puts `count` in, unless the bucket is full.
    ///
    /// # Errors
    /// [`Error::RateLimited`], with when there is room again.
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

//! A count of events within the last hour.

use std::time::Duration;

use crate::model::{Error, Result};

/// Counts events in slices of five minutes. The slice that is not over yet counts in addition to the twelve before it, so
/// no hour ever holds more than the limit.
#[derive(Debug, Default)]
pub(super) struct SlidingWindow {
    newest: u64,
    counts: [u32; SLICES as usize],
}

const SLICE_SECONDS: u64 = 5 * 60;
const SLICES: u64 = 13;

impl SlidingWindow {
    /// Counts an event if the limit allows it.
    pub(super) fn take(&mut self, now: Duration, limit: u32) -> Result<()> {
        self.left(now, limit)?;
        self.add(now);
        Ok(())
    }

    /// Returns how many more events the limit allows: at least one, or an error.
    pub(super) fn left(&mut self, now: Duration, limit: u32) -> Result<u32> {
        let current = self.advance(now);
        let count = self.counts.iter().fold(0, |sum: u32, count| sum.saturating_add(*count));
        if count < limit {
            return Ok(limit - count);
        }
        let oldest = (current.saturating_sub(SLICES - 1)..=current).find(|slice| *self.slice(*slice) > 0);
        let leaves = Duration::from_secs((oldest.unwrap_or(current) + SLICES) * SLICE_SECONDS);
        Err(Error::RateLimited { retry_after: leaves.saturating_sub(now) })
    }

    /// Counts an event.
    pub(super) fn add(&mut self, now: Duration) {
        let current = self.advance(now);
        let count = self.slice(current);
        *count = count.saturating_add(1);
    }

    /// Moves on to the current slice and clears those that are too old.
    fn advance(&mut self, now: Duration) -> u64 {
        let current = now.as_secs() / SLICE_SECONDS;
        for passed in (self.newest + 1..=current).rev().take(SLICES as usize) {
            *self.slice(passed) = 0;
        }
        self.newest = self.newest.max(current);
        current
    }

    const fn slice(&mut self, number: u64) -> &mut u32 {
        &mut self.counts[(number % SLICES) as usize]
    }
}

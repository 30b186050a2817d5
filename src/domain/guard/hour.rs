use std::time::Duration;

use crate::model::{Error, Result};

/// What happened within the last hour, in slices of five minutes. The slice that is under way counts besides the
/// twelve before it, so that no hour ever holds more than the limit.
#[derive(Debug, Default)]
pub(super) struct Hour {
    newest: u64,
    counts: [u32; SLICES as usize],
}

const SLICE_SECONDS: u64 = 5 * 60;
const SLICES: u64 = 13;

impl Hour {
    pub(super) fn take(&mut self, now: Duration, limit: u32) -> Result<()> {
        let current = now.as_secs() / SLICE_SECONDS;
        for passed in (self.newest + 1..=current).rev().take(SLICES as usize) {
            *self.slice(passed) = 0;
        }
        self.newest = self.newest.max(current);
        if self.counts.iter().fold(0, |sum: u32, count| sum.saturating_add(*count)) < limit {
            *self.slice(current) += 1;
            return Ok(());
        }
        let oldest = (current.saturating_sub(SLICES - 1)..=current).find(|slice| *self.slice(*slice) > 0);
        let leaves = Duration::from_secs((oldest.unwrap_or(current) + SLICES) * SLICE_SECONDS);
        Err(Error::RateLimited { retry_after: leaves.saturating_sub(now) })
    }

    pub(super) fn give_back(&mut self, since: Duration) {
        let slice = since.as_secs() / SLICE_SECONDS;
        if slice + SLICES > self.newest {
            let count = self.slice(slice);
            *count = count.saturating_sub(1);
        }
    }

    const fn slice(&mut self, number: u64) -> &mut u32 {
        &mut self.counts[(number % SLICES) as usize]
    }
}

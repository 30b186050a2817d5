use std::time::Duration;

use crate::model::{Error, Result};

/// The wrong passwords of one account or room.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
    last: Duration,
}

/// How many wrong passwords cost no delay.
const FREE: u32 = 5;
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// After this long without another, wrong passwords are forgotten.
const MEMORY: Duration = Duration::from_secs(60 * 60);

impl Failures {
    /// Refuses while the delay lasts. An attempt that passes starts the delay anew, so that it is alone.
    pub(super) fn wait(&mut self, now: Duration) -> Result<()> {
        if now.saturating_sub(self.last) > MEMORY {
            *self = Self::default();
        }
        let Some(beyond) = self.count.checked_sub(FREE) else { return Ok(()) };
        let delay = Duration::from_secs(1 << beyond.min(6)).min(LONGEST_DELAY);
        let retry_after = (self.last + delay).saturating_sub(now);
        if !retry_after.is_zero() {
            return Err(Error::RateLimited { retry_after });
        }
        self.last = now;
        Ok(())
    }

    pub(super) const fn add(&mut self, now: Duration) {
        self.count = self.count.saturating_add(1);
        self.last = now;
    }
}

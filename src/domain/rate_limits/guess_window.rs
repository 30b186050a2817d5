//! The guesses of one network, user or session within the hour.

use std::time::Duration;

use super::sliding_window::SlidingWindow;
use crate::model::Result;

/// The passwords and short codes that one network, user or session tries.
#[derive(Debug, Default)]
pub(super) struct GuessWindow {
    wrong: SlidingWindow,
    in_flight: u32,
    waiting: u32,
}

/// When an attempt may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Now,
    /// Once others are answered, if enough of them are right.
    Later,
}

/// `retry_after` while only attempts in flight are in the way.
pub(super) const RETRY_SOON: Duration = Duration::from_secs(1);

/// How many attempts of one guesser may wait: about as many as fit into the queue of passwords.
const MAX_WAITING: u32 = 64;

impl GuessWindow {
    /// Decides whether an attempt may begin now: not while as many are in flight as may still be wrong.
    pub(super) fn admit(&mut self, now: Duration, limit: u32) -> Result<Admission> {
        let left = self.wrong.left(now, limit)?;
        Ok(if self.in_flight < left { Admission::Now } else { Admission::Later })
    }

    /// Begins an attempt.
    pub(super) const fn begin(&mut self) {
        self.in_flight += 1;
    }

    /// Ends an attempt. The count is 0 already if the entry was dropped meanwhile.
    pub(super) const fn end(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Counts a wrong guess.
    pub(super) fn count(&mut self, now: Duration) {
        self.wrong.add(now);
    }

    /// Counts one more that waits. Returns whether the bound allows it.
    pub(super) const fn enqueue(&mut self) -> bool {
        let fits = self.waiting < MAX_WAITING;
        if fits {
            self.waiting += 1;
        }
        fits
    }

    pub(super) const fn dequeue(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }
}

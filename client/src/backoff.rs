//! The delay before the next attempt: exponential backoff with full jitter.
//!
//! A delay is drawn evenly from zero to a ceiling that doubles, so that the clients of a restarted server do not
//! reconnect all at once (AWS, "Exponential Backoff And Jitter").

use std::time::Duration;

/// The ceiling of the first delay.
const FIRST_CEILING: Duration = Duration::from_millis(100);
/// The highest ceiling, so that a client is back soon after its server.
const MAX_CEILING: Duration = Duration::from_secs(5);
/// No server asks for a longer delay. A proxy may send any number, which could overflow an `Instant`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The delays of one series of attempts.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Draws the next delay, and adds it to the server's `retry_after`.
    pub(crate) fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let ceiling = FIRST_CEILING.saturating_mul(1 << self.attempts.min(10)).min(MAX_CEILING);
        self.attempts = self.attempts.saturating_add(1);
        let drawn = ceiling.mul_f64(fastrand::f64());
        retry_after.map_or(drawn, |retry_after| retry_after.min(MAX_RETRY_AFTER) + drawn)
    }

    /// Starts over after a success.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_below_a_ceiling_that_doubles() {
        for _ in 0..100 {
            let mut backoff = Backoff::default();
            for ceiling in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
                assert!(backoff.next(None) <= Duration::from_millis(ceiling));
            }
        }
    }

    #[test]
    fn many_attempts_do_not_overflow() {
        let mut backoff = Backoff { attempts: u32::MAX };
        assert!(backoff.next(None) <= MAX_CEILING);
        assert_eq!(backoff.attempts, u32::MAX);
    }

    #[test]
    fn the_servers_retry_after_is_the_minimum() {
        let retry_after = Duration::from_secs(7);
        let delay = Backoff::default().next(Some(retry_after));
        assert!(delay >= retry_after && delay <= retry_after + FIRST_CEILING);
    }

    #[test]
    fn an_excessive_retry_after_does_not_overflow() {
        let delay = Backoff::default().next(Some(Duration::MAX));
        assert!(delay >= MAX_RETRY_AFTER && delay <= MAX_RETRY_AFTER + FIRST_CEILING);
    }
}

//! How long to wait between two attempts.
//!
//! Full jitter: a delay is drawn evenly from zero to a ceiling that doubles, so that the clients of a server
//! that comes back do not come back all at once (AWS, "Exponential Backoff And Jitter").

use std::time::Duration;

/// The ceiling of the first delay.
const FIRST: Duration = Duration::from_millis(100);
/// The ceiling that is never passed, so that a client is back soon after its server.
const CEILING: Duration = Duration::from_secs(5);
/// No server asks for more. What stands in between may name any number, and a moment that far away is none.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The delays of one series of attempts.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Draws the next delay; what the server asked for is its least.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.attempts.min(10)).min(CEILING);
        self.attempts = self.attempts.saturating_add(1);
        let drawn = ceiling.mul_f64(fastrand::f64());
        asked.map_or(drawn, |asked| asked.min(LONGEST) + drawn)
    }

    /// Starts anew after a success.
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
        assert!(backoff.next(None) <= CEILING);
        assert_eq!(backoff.attempts, u32::MAX);
    }

    #[test]
    fn the_servers_wish_is_the_least() {
        let asked = Duration::from_secs(7);
        let delay = Backoff::default().next(Some(asked));
        assert!(delay >= asked && delay <= asked + FIRST);
    }

    #[test]
    fn a_wish_without_measure_does_not_overflow() {
        let delay = Backoff::default().next(Some(Duration::MAX));
        assert!(delay >= LONGEST && delay <= LONGEST + FIRST);
    }
}

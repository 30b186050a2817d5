//! The minimum rate at which a peer has to read a response, and how far a peer is behind it.
//!
//! While the server waits for the peer, the lag grows by the time that passes. Each [`BYTES_PER_SECOND`] bytes that the peer
//! reads reduce it by a second, never below zero, so that reading fast at first saves up nothing. While the server has
//! nothing to send, the lag shrinks as fast as it grew, so an idle stream is never late.

use std::time::Duration;

use tokio::time::Instant;

/// The lag at which a peer is disconnected.
const MAX_LAG: Duration = Duration::from_secs(30);

/// The same while response memory is scarce.
const MAX_LAG_WHEN_SCARCE: Duration = Duration::from_secs(5);

/// The minimum rate, below that of the slowest links in use.
const BYTES_PER_SECOND: u64 = 8 * 1024;

/// How often a waiting connection checks whether memory has become scarce.
pub(super) const CHECK_INTERVAL: Duration = MAX_LAG_WHEN_SCARCE;

/// How far a peer is behind the minimum rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MinDataRate {
    /// The lag at `counted_at`.
    lag: Duration,
    /// None while the lag is zero and the server has nothing to send.
    counted_at: Option<Instant>,
    is_waiting: bool,
}

impl MinDataRate {
    /// Returns whether the server waits for the peer.
    pub(super) const fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Starts to wait for the peer, which has not read all that was sent.
    pub(super) fn start_waiting(&mut self) {
        if !self.is_waiting {
            self.count();
            self.is_waiting = true;
            self.counted_at = Some(Instant::now());
        }
    }

    /// Stops waiting: the peer has read all that was sent.
    pub(super) fn stop_waiting(&mut self) {
        if self.is_waiting {
            self.count();
            self.is_waiting = false;
        }
    }

    /// Counts bytes that the peer has read.
    pub(super) fn add_read(&mut self, bytes: u64) {
        self.count();
        self.lag = self.lag.saturating_sub(Duration::from_micros(1_000_000 * bytes / BYTES_PER_SECOND));
    }

    /// Sets the lag to zero.
    pub(super) fn reset(&mut self) {
        self.count();
        self.lag = Duration::ZERO;
    }

    /// Returns when the peer is disconnected unless it reads more; none while the server does not wait. Time alone does not
    /// change the result, which may lie in the past.
    pub(super) fn deadline(&self, memory_is_scarce: bool) -> Option<Instant> {
        let max_lag = if memory_is_scarce { MAX_LAG_WHEN_SCARCE } else { MAX_LAG };
        let counted_at = self.counted_at.filter(|_| self.is_waiting)?;
        let excess = self.lag.saturating_sub(max_lag);
        Some(counted_at.checked_sub(excess).unwrap_or(counted_at) + max_lag.saturating_sub(self.lag))
    }

    /// Brings the lag up to date.
    fn count(&mut self) {
        let Some(counted_at) = self.counted_at else { return };
        let now = Instant::now();
        let passed = now.saturating_duration_since(counted_at);
        self.lag = if self.is_waiting { self.lag + passed } else { self.lag.saturating_sub(passed) };
        self.counted_at = (self.is_waiting || !self.lag.is_zero()).then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Reads `bytes` at each `interval`, and returns after how long the peer is late.
    async fn late_after(bytes: u64, interval: Duration, memory_is_scarce: bool) -> Option<Duration> {
        let (started, mut rate) = (Instant::now(), MinDataRate::default());
        for _ in 0..1_000 {
            rate.start_waiting();
            let deadline = rate.deadline(memory_is_scarce).expect("the server waits for the peer");
            if deadline < Instant::now() + interval {
                return Some(deadline - started);
            }
            advance(interval).await;
            rate.add_read(bytes);
            rate.stop_waiting();
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_whole_buffers_too_slowly_is_late() {
        for (bytes, seconds, scarce, late) in [
            (0, 1_000, false, Some(30)),
            (16 * 1024, 20, false, Some(32)),
            (64 * 1024, 20, false, Some(38)),
            (64 * 1024, 9, false, Some(206)),
            (64 * 1024, 8, false, None),
            (8 * 1024, 1, true, None),
            (64 * 1024, 9, true, Some(5)),
            (1, 1, false, Some(30)),
        ] {
            let after = late_after(bytes, SECOND * seconds, scarce).await;
            assert_eq!(after.map(|after| after.as_secs()), late, "{bytes} in {seconds} s, {scarce}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_peer_catches_up_and_saves_up_nothing() {
        let mut rate = MinDataRate::default();
        rate.add_read(1 << 30);
        advance(SECOND * 3_600).await;
        assert_eq!(rate.deadline(false), None, "there is nothing to send");
        for _ in 0..100 {
            rate.start_waiting();
            assert_eq!(rate.deadline(false), Some(Instant::now() + MAX_LAG));
            advance(SECOND * 20).await;
            rate.stop_waiting();
            assert_eq!(rate.deadline(false), None);
            advance(SECOND * 20).await;
        }
        rate.start_waiting();
        advance(SECOND * 20).await;
        rate.stop_waiting();
        advance(SECOND * 5).await;
        rate.start_waiting();
        assert_eq!(rate.deadline(false), Some(Instant::now() + SECOND * 15));
        let scarce = rate.deadline(true);
        assert_eq!(
            scarce,
            Some(Instant::now() - SECOND * 10),
            "memory is scarce, and the peer is late already"
        );
        let deadline = rate.deadline(false);
        for _ in 0..10 {
            advance(SECOND * 7).await;
            rate.add_read(0);
            assert_eq!(
                (rate.deadline(false), rate.deadline(true)),
                (deadline, scarce),
                "time does not change it"
            );
        }
    }
}

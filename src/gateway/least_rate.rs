//! How far a peer is behind the least rate at which it has to read what it asked for.
//!
//! The time in which it is the peer's turn puts it behind, and what it takes makes up for it, a second for each
//! [`LEAST_RATE`] bytes. What it takes before it is behind is not saved up, and a buffer that was taken whole begins nothing
//! anew: a peer that drips is late however its answer is cut. In the time in which there is nothing to send it catches up as
//! fast as it fell behind, so a stream may be idle for as long as it likes.

use std::time::Duration;

use tokio::time::Instant;

/// How far a peer may be behind, and how far while the memory of answers is tight.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_WHEN_TIGHT: Duration = Duration::from_secs(5);

/// How many bytes a peer has to read each second: less than the slowest link that anybody chats over.
const LEAST_RATE: u64 = 8 * 1024;

/// How often to look whether memory has become tight.
pub(super) const LOOK: Duration = PATIENCE_WHEN_TIGHT;

/// How far a peer is behind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Behind {
    /// How far it was when this was last counted.
    behind: Duration,
    /// When that was; none where it was not behind, and not its turn.
    counted: Option<Instant>,
    is_theirs: bool,
}

impl Behind {
    /// Says whether it is the peer's turn.
    pub(super) const fn is_theirs(&self) -> bool {
        self.is_theirs
    }

    /// It is the peer's turn: there is more for it than it takes.
    pub(super) fn theirs(&mut self) {
        if !self.is_theirs {
            self.count();
            self.is_theirs = true;
            self.counted = Some(Instant::now());
        }
    }

    /// It is our turn: all that there is was taken.
    pub(super) fn ours(&mut self) {
        if self.is_theirs {
            self.count();
            self.is_theirs = false;
        }
    }

    /// The peer has taken so many bytes.
    pub(super) fn took(&mut self, bytes: u64) {
        self.count();
        self.behind = self.behind.saturating_sub(Duration::from_micros(1_000_000 * bytes / LEAST_RATE));
    }

    /// Forgets how far it is behind.
    pub(super) fn forgive(&mut self) {
        self.count();
        self.behind = Duration::ZERO;
    }

    /// Returns by when the peer must have taken more, or had to; none where it is not its turn.
    pub(super) fn deadline(&self, is_tight: bool) -> Option<Instant> {
        let patience = if is_tight { PATIENCE_WHEN_TIGHT } else { PATIENCE };
        let counted = self.counted.filter(|_| self.is_theirs)?;
        // It stays the same however often it is asked for, so that whoever waits for it sees it pass.
        let over = self.behind.saturating_sub(patience);
        Some(counted.checked_sub(over).unwrap_or(counted) + patience.saturating_sub(self.behind))
    }

    /// Counts the time that has passed since it was counted.
    fn count(&mut self) {
        let Some(counted) = self.counted else { return };
        let now = Instant::now();
        let passed = now.saturating_duration_since(counted);
        self.behind = if self.is_theirs { self.behind + passed } else { self.behind.saturating_sub(passed) };
        self.counted = (self.is_theirs || !self.behind.is_zero()).then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Takes so many bytes, each time after so long and each time all that there is, and returns after how long it is late.
    async fn late_after(bytes: u64, after: Duration, is_tight: bool) -> Option<Duration> {
        let (begun, mut behind) = (Instant::now(), Behind::default());
        for _ in 0..1_000 {
            behind.theirs();
            let deadline = behind.deadline(is_tight).expect("it is the peer's turn");
            if deadline < Instant::now() + after {
                return Some(deadline - begun);
            }
            advance(after).await;
            behind.took(bytes);
            behind.ours();
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_each_buffer_whole_is_late_where_it_drips() {
        for (bytes, seconds, tight, late) in [
            (0, 1_000, false, Some(30)),
            (16 * 1024, 20, false, Some(32)),
            (64 * 1024, 20, false, Some(38)),
            (64 * 1024, 9, false, Some(206)),
            (64 * 1024, 8, false, None),
            (8 * 1024, 1, true, None),
            (64 * 1024, 9, true, Some(5)),
            (1, 1, false, Some(30)),
        ] {
            let after = late_after(bytes, SECOND * seconds, tight).await;
            assert_eq!(after.map(|after| after.as_secs()), late, "{bytes} in {seconds} s, {tight}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_nothing_to_take_catches_up_and_saves_nothing_up() {
        let mut behind = Behind::default();
        behind.took(1 << 30);
        advance(SECOND * 3_600).await;
        assert_eq!(behind.deadline(false), None, "it is not their turn");
        for _ in 0..100 {
            behind.theirs();
            assert_eq!(behind.deadline(false), Some(Instant::now() + PATIENCE));
            advance(SECOND * 20).await;
            behind.ours();
            assert_eq!(behind.deadline(false), None);
            advance(SECOND * 20).await;
        }
        behind.theirs();
        advance(SECOND * 20).await;
        behind.ours();
        advance(SECOND * 5).await;
        behind.theirs();
        assert_eq!(behind.deadline(false), Some(Instant::now() + SECOND * 15));
        let tight = behind.deadline(true);
        assert_eq!(tight, Some(Instant::now() - SECOND * 10), "memory is tight, and it is late already");
        let deadline = behind.deadline(false);
        for _ in 0..10 {
            advance(SECOND * 7).await;
            behind.took(0);
            assert_eq!(
                (behind.deadline(false), behind.deadline(true)),
                (deadline, tight),
                "it does not move"
            );
        }
    }
}

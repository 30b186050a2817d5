//! Limits log lines that strangers or an unavailable database can cause without bound: of each kind, one line is
//! written per interval, with the number of lines left out since the last.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Limits the log lines of one kind.
#[derive(Debug)]
pub(crate) struct SparseLog {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl SparseLog {
    /// Allows one line a minute.
    pub(crate) const fn by_the_minute() -> Self {
        Self::new(Duration::from_secs(60))
    }

    /// Allows one line per interval.
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::new(State { last: None, left_out: 0 }) }
    }

    /// Returns how many lines were left out since the last one if a line may be written now; `None` if this one is left
    /// out.
    pub(crate) fn left_out(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.last.is_some_and(|last| last.elapsed() < self.interval) {
            state.left_out += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_per_interval_is_written_with_the_number_left_out() {
        const INTERVAL: Duration = Duration::from_secs(5);
        let log = SparseLog::new(INTERVAL);
        assert_eq!([(); 3].map(|()| log.left_out()), [Some(0), None, None]);
        advance(INTERVAL).await;
        assert_eq!([(); 2].map(|()| log.left_out()), [Some(2), None]);
    }
}

//! Lines of the log that strangers cause: one a minute of each kind, with how many were left out.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long nothing more of a kind is said.
const SILENCE: Duration = Duration::from_secs(60);

/// When a line of one kind was last said.
#[derive(Debug, Default)]
pub(super) struct SparseLog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    left_out: u64,
}

impl SparseLog {
    /// Nothing was said yet.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(State { said: None, left_out: 0 }))
    }

    /// Asks to say a line; where it may be said, returns how many were left out before it.
    pub(super) fn left_out(&self) -> Option<u64> {
        let mut state = self.0.lock();
        if state.said.is_some_and(|said| said.elapsed() < SILENCE) {
            state.left_out += 1;
            return None;
        }
        state.said = Some(Instant::now());
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_of_a_minute_is_said_with_how_many_were_not() {
        let log = SparseLog::new();
        assert_eq!([(); 3].map(|()| log.left_out()), [Some(0), None, None]);
        advance(SILENCE).await;
        assert_eq!([(); 2].map(|()| log.left_out()), [Some(2), None]);
    }
}

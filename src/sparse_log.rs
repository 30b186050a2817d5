//! Lines of the log that come as often as strangers or a database that is away cause them: of each kind one in a while is
//! written, with how many were left out.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// When a line of one kind was last said.
#[derive(Debug)]
pub(crate) struct SparseLog {
    silence: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    said: Option<Instant>,
    left_out: u64,
}

impl SparseLog {
    /// Of lines of a kind that was not said yet, one a minute.
    pub(crate) const fn by_the_minute() -> Self {
        Self::new(Duration::from_secs(60))
    }

    /// The same, with so long a silence after each.
    pub(crate) const fn new(silence: Duration) -> Self {
        Self { silence, state: Mutex::new(State { said: None, left_out: 0 }) }
    }

    /// Asks to say a line; where it may be said, returns how many were left out before it.
    pub(crate) fn left_out(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.said.is_some_and(|said| said.elapsed() < self.silence) {
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
    async fn the_first_in_a_while_is_said_with_how_many_were_not() {
        const SILENCE: Duration = Duration::from_secs(5);
        let log = SparseLog::new(SILENCE);
        assert_eq!([(); 3].map(|()| log.left_out()), [Some(0), None, None]);
        advance(SILENCE).await;
        assert_eq!([(); 2].map(|()| log.left_out()), [Some(2), None]);
    }
}

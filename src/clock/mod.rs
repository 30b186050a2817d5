//! The clock, ids and randomness. No other module asks the machine for them.
//!
//! Everything that depends on the wall clock takes a [`Clock`], so that a test sets the time and never waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

use crate::model::Timestamp;

#[cfg(test)]
mod fuzz_inputs;
#[cfg(test)]
pub(crate) use fuzz_inputs::fuzz_inputs;

/// A handle to the wall clock and to the system's randomness. Clones share the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { start: Instant },
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Returns the machine's clock.
    pub fn system() -> Self {
        Self(Source::System { start: Instant::now() })
    }

    /// Returns a clock that moves only by [`Self::set`].
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_micros()))))
    }

    /// Returns the current time.
    #[expect(clippy::disallowed_methods, reason = "this is where the machine is asked")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Source::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::Relaxed)),
        }
    }

    /// Returns the time since a fixed start, for limits and delays. Unlike [`Self::now`] it is monotonic: changes of the
    /// machine's date do not affect it.
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::System { start } => start.elapsed(),
            Source::Manual(_) => self.now().since(Timestamp::from_micros(0)),
        }
    }

    /// Sets a manual clock. Does nothing to the machine's.
    pub fn set(&self, now: Timestamp) {
        if let Source::Manual(micros) = &self.0 {
            micros.store(now.as_micros(), Ordering::Relaxed);
        }
    }

    /// Creates a UUIDv7. Ids of one process rise.
    #[expect(clippy::disallowed_methods, reason = "this is where ids are made")]
    pub fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// Returns random bytes that are fit for secrets.
    #[expect(clippy::disallowed_methods, reason = "this is where randomness is drawn")]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        bytes
    }
}

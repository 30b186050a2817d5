//! The limits and their counts.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::Notify;

use super::{guess_counts::GuessCounts, sliding_window::SlidingWindow};
use crate::{
    clock::Clock,
    domain::{token_bucket::TokenBucket, two_generation_map::TwoGenerationMap},
    model::{Network, Result, UserId},
};

/// The limits; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct RateLimitConfig {
    /// New accounts per address (`REGISTRATIONS_PER_HOUR`).
    pub registrations_per_hour: u32,
    /// Wrong passwords and short codes per address, and per logged-in account (`GUESSES_PER_HOUR`); 0 turns backoff off
    /// too.
    pub guesses_per_hour: u32,
    /// Messages per user (`MESSAGES_PER_SECOND`), in bursts of four times as many.
    pub messages_per_second: u32,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self { registrations_per_hour: 10, guesses_per_hour: 30, messages_per_second: 50 }
    }
}

/// A handle to the limits. Clones share the counts.
#[derive(Clone)]
pub struct RateLimits(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) config: RateLimitConfig,
    pub(super) clock: Clock,
    registrations: Mutex<TwoGenerationMap<Network, SlidingWindow>>,
    pub(super) guesses: Mutex<GuessCounts>,
    /// Notified whenever an attempt ends, for the attempts that wait.
    pub(super) answered: Notify,
    /// When each user's bucket is empty again, on [`Clock::elapsed`].
    messages: Mutex<TwoGenerationMap<UserId, Duration>>,
}

impl RateLimits {
    /// Creates the limits, with every count at zero.
    pub fn new(config: RateLimitConfig, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            config,
            clock,
            registrations: Mutex::new(TwoGenerationMap::new()),
            guesses: Mutex::new(GuessCounts::new()),
            answered: Notify::new(),
            messages: Mutex::new(TwoGenerationMap::new()),
        }))
    }

    /// Counts a registration.
    ///
    /// # Errors
    /// [`Error::RateLimited`](crate::model::Error::RateLimited) where the address has reached the limit of the hour.
    pub fn register(&self, address: IpAddr) -> Result<()> {
        let limit = self.0.config.registrations_per_hour;
        if limit == 0 {
            return Ok(());
        }
        lock(&self.0.registrations).entry(Network::of(address)).take(self.0.clock.elapsed(), limit)
    }

    /// Counts a message.
    ///
    /// # Errors
    /// [`Error::RateLimited`](crate::model::Error::RateLimited) where the user sends faster than the rate and burst
    /// allow.
    pub fn message(&self, user: UserId) -> Result<()> {
        let bucket = TokenBucket::new(self.0.config.messages_per_second, BURST_SECONDS);
        let now = self.0.clock.elapsed();
        bucket.map_or(Ok(()), |bucket| bucket.take(lock(&self.0.messages).entry(user), now, 1))
    }
}

/// A burst of messages, in seconds of the rate: 200 messages at 50 a second.
const BURST_SECONDS: u32 = 4;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it counts")
}

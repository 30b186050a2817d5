//! The guard at the door: how often strangers may register and guess, and how fast a user may write.
//!
//! Nobody is ever locked out. An address that has used up its hour waits for the hour to pass; an account or a
//! room that was guessed at answers more slowly, to known and unknown names alike. The state is bounded: what
//! was not touched for longest is forgotten first.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use super::fading::FadingMap;
use crate::{
    clock::Clock,
    model::{Error, Result, RoomId, UserId},
};

mod delay;
mod hour;

use delay::Failures;
use hour::Hour;

/// The limits; 0 is none.
#[derive(Clone, Copy, Debug)]
pub struct GuardConfig {
    /// New accounts, per address (REGISTRATIONS_PER_HOUR).
    pub registrations_per_hour: u32,
    /// Wrong passwords, per address (GUESSES_PER_HOUR); 0 turns the delays off too.
    pub guesses_per_hour: u32,
    /// Messages, per user (MESSAGES_PER_SECOND); bursts of four times as many pass.
    pub messages_per_second: u32,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { registrations_per_hour: 10, guesses_per_hour: 30, messages_per_second: 50 }
    }
}

/// Whose password is guessed.
#[derive(Clone, Copy, Debug)]
pub enum Guess<'a> {
    /// An account's, by its name, whether or not there is such an account.
    Account(&'a str),
    /// A room's.
    Room(RoomId),
    /// Nobody's: a short code that no room has was tried.
    ShortCode(&'a str),
}

/// A handle to the limits. Clones share the counts.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    config: GuardConfig,
    clock: Clock,
    /// Names are kept as hashes with a random key, so that a long one costs no more than a short one.
    hasher: RandomState,
    registrations: Mutex<FadingMap<IpAddr, Hour>>,
    guesses: Mutex<FadingMap<IpAddr, Hour>>,
    failures: Mutex<FadingMap<Target, Failures>>,
    /// When each user's bucket is empty again, on [`Clock::elapsed`].
    messages: Mutex<FadingMap<UserId, Duration>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Target {
    Account(u64),
    Room(RoomId),
    ShortCode(u64),
}

impl Guard {
    /// Makes a guard that has seen nobody yet.
    pub fn new(config: GuardConfig, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            config,
            clock,
            hasher: RandomState::new(),
            registrations: Mutex::new(FadingMap::new()),
            guesses: Mutex::new(FadingMap::new()),
            failures: Mutex::new(FadingMap::new()),
            messages: Mutex::new(FadingMap::new()),
        }))
    }

    /// Counts a registration.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where the address has had its hour's share.
    pub fn register(&self, address: IpAddr) -> Result<()> {
        let limit = self.0.config.registrations_per_hour;
        if limit == 0 {
            return Ok(());
        }
        hold(&self.0.registrations).entry(network(address)).take(self.0.clock.elapsed(), limit)
    }

    /// Asks whether a password may be tried now. The attempt counts as wrong while it is under way, so that
    /// many at once are as few as many in a row; say how it went.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where the address has guessed wrong too often, or where the account or room was
    /// guessed at too often.
    pub fn guess(&self, address: IpAddr, guess: Guess<'_>) -> Result<Attempt> {
        let now = self.0.clock.elapsed();
        let limit = self.0.config.guesses_per_hour;
        let target = match guess {
            Guess::Account(name) => Target::Account(self.0.hasher.hash_one(name)),
            Guess::Room(room) => Target::Room(room),
            Guess::ShortCode(code) => Target::ShortCode(self.0.hasher.hash_one(code)),
        };
        let address = network(address);
        if limit != 0 {
            // In this order: an address without guesses left must not prolong anybody's delay.
            hold(&self.0.guesses).entry(address).take(now, limit)?;
            let waited = hold(&self.0.failures).entry(target).wait(now);
            if waited.is_err() {
                hold(&self.0.guesses).entry(address).give_back(now);
            }
            waited?;
        }
        Ok(Attempt { guard: self.clone(), address, target, since: now, counts: false })
    }

    /// Counts a message.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where the user writes faster than the limit, beyond a burst.
    pub fn message(&self, user: UserId) -> Result<()> {
        let rate = self.0.config.messages_per_second;
        if rate == 0 {
            return Ok(());
        }
        // A bucket that drains at `rate`, kept as the moment when it is empty (the generic cell rate algorithm,
        // ITU-T I.371).
        let each = Duration::from_secs(1) / rate;
        let now = self.0.clock.elapsed();
        let mut messages = hold(&self.0.messages);
        let empty_at = messages.entry(user);
        let next = (*empty_at).max(now) + each;
        match (next - now).checked_sub(each * rate * BURST_SECONDS) {
            Some(retry_after) if !retry_after.is_zero() => Err(Error::RateLimited { retry_after }),
            _ => {
                *empty_at = next;
                Ok(())
            }
        }
    }
}

/// How many seconds' worth of messages may come at once: 200 where 50 a second are allowed.
const BURST_SECONDS: u32 = 4;

/// A password that is being tried. Dropped without a word, it was not answered and does not count.
#[must_use = "say whether the password was right"]
pub struct Attempt {
    guard: Guard,
    address: IpAddr,
    target: Target,
    since: Duration,
    counts: bool,
}

impl Attempt {
    /// The password was wrong.
    pub fn failed(mut self) {
        self.counts = true;
        let inner = &self.guard.0;
        if inner.config.guesses_per_hour != 0 {
            hold(&inner.failures).entry(self.target).add(inner.clock.elapsed());
        }
    }

    /// The password was right: the account or room answers at once again.
    pub fn succeeded(self) {
        hold(&self.guard.0.failures).remove(&self.target);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.counts && self.guard.0.config.guesses_per_hour != 0 {
            hold(&self.guard.0.guesses).entry(self.address).give_back(self.since);
        }
    }
}

/// Returns what one customer of a provider holds: an IPv4 address, or an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it counts")
}

#[cfg(test)]
mod tests;

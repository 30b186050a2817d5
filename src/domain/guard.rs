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

use tokio::{sync::Notify, time::timeout};

use super::{bucket::Bucket, fading::FadingMap};
use crate::{
    clock::Clock,
    model::{Error, Result, RoomId, UserId},
};

mod delay;
mod guesses;
mod hour;

use delay::Failures;
use guesses::{Guesses, Turn};
use hour::Hour;

/// How long a password waits for others of its address to be answered.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// When to come again where only passwords that are being tried are in the way.
const SOON: Duration = Duration::from_secs(1);

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
    guesses: Mutex<FadingMap<IpAddr, Guesses>>,
    /// Wakes those who wait for a turn, whenever a password was answered.
    answered: Notify,
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
            answered: Notify::new(),
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

    /// Asks whether a password may be tried now, and says how it went afterwards.
    ///
    /// No more are tried at once than could be wrong within the hour, so that many at once are as few as many in a row.
    /// Whoever comes on top of them waits until some are answered: behind one address there may be many people who all
    /// know their passwords.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where the address has guessed wrong too often, or where the account or room was
    /// guessed at too often; also, for a second, where too many of the address wait.
    pub async fn guess(&self, address: IpAddr, guess: Guess<'_>) -> Result<Attempt> {
        let inner = &self.0;
        let target = match guess {
            Guess::Account(name) => Target::Account(inner.hasher.hash_one(name)),
            Guess::Room(room) => Target::Room(room),
            Guess::ShortCode(code) => Target::ShortCode(inner.hasher.hash_one(code)),
        };
        let address = network(address);
        if inner.config.guesses_per_hour == 0 {
            return Ok(Attempt { guard: self.clone(), address, target });
        }
        // In this order: an address without guesses left must not prolong anybody's delay.
        self.turn(address).await?;
        let attempt = Attempt { guard: self.clone(), address, target };
        hold(&inner.failures).entry(target).wait(inner.clock.elapsed())?;
        Ok(attempt)
    }

    /// Takes one of the address's guesses, and waits for it where others that are being tried hold them all.
    async fn turn(&self, address: IpAddr) -> Result<()> {
        let begin = || {
            let (now, limit) = (self.0.clock.elapsed(), self.0.config.guesses_per_hour);
            hold(&self.0.guesses).entry(address).begin(now, limit)
        };
        if begin()? == Turn::Now {
            return Ok(());
        }
        let _waiting = Waiting::of(&self.0, address)?;
        let waits = async {
            loop {
                // Before it asks, so that no answer in between is missed.
                let answered = self.0.answered.notified();
                if begin()? == Turn::Now {
                    return Ok(());
                }
                answered.await;
            }
        };
        timeout(LONGEST_WAIT, waits).await.unwrap_or(Err(Error::RateLimited { retry_after: SOON }))
    }

    /// Counts a message.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where the user writes faster than the limit, beyond a burst.
    pub fn message(&self, user: UserId) -> Result<()> {
        let bucket = Bucket::of(self.0.config.messages_per_second, BURST_SECONDS);
        let now = self.0.clock.elapsed();
        bucket.map_or(Ok(()), |bucket| bucket.take(hold(&self.0.messages).entry(user), now))
    }
}

/// How many seconds' worth of messages may come at once: 200 where 50 a second are allowed.
const BURST_SECONDS: u32 = 4;

/// Somebody who waits for a turn. Their number is bounded, since each answer wakes them all.
struct Waiting<'a> {
    inner: &'a Inner,
    address: IpAddr,
}

impl<'a> Waiting<'a> {
    fn of(inner: &'a Inner, address: IpAddr) -> Result<Self> {
        if hold(&inner.guesses).entry(address).queue() {
            Ok(Self { inner, address })
        } else {
            Err(Error::RateLimited { retry_after: SOON })
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        hold(&self.inner.guesses).entry(self.address).leave_queue();
    }
}

/// A password that is being tried. Dropped without a word, it was not answered and does not count.
#[must_use = "say whether the password was right"]
pub struct Attempt {
    guard: Guard,
    address: IpAddr,
    target: Target,
}

impl Attempt {
    /// The password was wrong.
    pub fn failed(self) {
        let inner = &self.guard.0;
        if inner.config.guesses_per_hour != 0 {
            let now = inner.clock.elapsed();
            hold(&inner.guesses).entry(self.address).count(now);
            hold(&inner.failures).entry(self.target).add(now);
        }
    }

    /// The password was right: the account or room answers at once again.
    pub fn succeeded(self) {
        hold(&self.guard.0.failures).remove(&self.target);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let inner = &self.guard.0;
        if inner.config.guesses_per_hour != 0 {
            hold(&inner.guesses).entry(self.address).end();
            inner.answered.notify_waiters();
        }
    }
}

/// Returns what one customer of a provider holds: an IPv4 address, or an IPv6 /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
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

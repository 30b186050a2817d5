//! The guard at the door: how often strangers may register and guess, and how fast a user may write.
//!
//! Nobody is ever locked out, and nobody waits for what others guess. Wrong guesses count for the hour of the network,
//! and of the account where one is logged in, that they come from; delays belong to a target and a guesser together. So
//! whoever guesses at an account slows down nobody but themselves:
//!
//! - A network from which somebody has logged in to an account before has an hour of its own for it.
//! - Whoever is logged in tries their own password under their session alone.
//! - A target at which many networks guess is answered more slowly to each of them, after its first wrong password. The
//!   right one is let in at once from anywhere that has not guessed wrong.
//!
//! Known and unknown names are answered alike. The state is bounded: what was not touched for longest is forgotten first.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::Notify;

use super::{bucket::Bucket, fading::FadingMap};
use crate::{
    clock::Clock,
    model::{Network, Result, RoomId, SessionId, UserId},
};

mod attempt;
mod delay;
mod guesses;
mod hour;
mod known;
mod ledger;

pub use attempt::Attempt;
use hour::Hour;
use ledger::Ledger;

/// The limits; 0 is none.
#[derive(Clone, Copy, Debug)]
pub struct GuardConfig {
    /// New accounts, per address (REGISTRATIONS_PER_HOUR).
    pub registrations_per_hour: u32,
    /// Wrong passwords and short codes, per address and per account that is logged in (GUESSES_PER_HOUR); 0 turns the
    /// delays off too.
    pub guesses_per_hour: u32,
    /// Messages, per user (MESSAGES_PER_SECOND); bursts of four times as many pass.
    pub messages_per_second: u32,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { registrations_per_hour: 10, guesses_per_hour: 30, messages_per_second: 50 }
    }
}

/// What is guessed.
#[derive(Clone, Copy, Debug)]
pub enum Guess<'a> {
    /// An account's password, by its name, whether or not there is such an account.
    Account(&'a str),
    /// The password of the caller's own account, in this session.
    Own(SessionId),
    /// A room's password, by a user who is not in the room.
    Room(RoomId, UserId),
    /// A room's password, by a user who is in the room or owns it, and so needs none.
    RoomOfMember(RoomId, UserId),
    /// A short code, by a user.
    ShortCode(UserId),
}

/// A handle to the limits. Clones share the counts.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    config: GuardConfig,
    clock: Clock,
    registrations: Mutex<FadingMap<Network, Hour>>,
    ledger: Mutex<Ledger>,
    /// Wakes those who wait for a turn, whenever a guess was answered.
    answered: Notify,
    /// When each user's bucket is empty again, on [`Clock::elapsed`].
    messages: Mutex<FadingMap<UserId, Duration>>,
}

impl Guard {
    /// Makes a guard that has seen nobody yet.
    pub fn new(config: GuardConfig, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            config,
            clock,
            registrations: Mutex::new(FadingMap::new()),
            ledger: Mutex::new(Ledger::new()),
            answered: Notify::new(),
            messages: Mutex::new(FadingMap::new()),
        }))
    }

    /// Counts a registration.
    ///
    /// # Errors
    /// [`Error::RateLimited`](crate::model::Error::RateLimited) where the address has had its hour's share.
    pub fn register(&self, address: IpAddr) -> Result<()> {
        let limit = self.0.config.registrations_per_hour;
        if limit == 0 {
            return Ok(());
        }
        hold(&self.0.registrations).entry(Network::of(address)).take(self.0.clock.elapsed(), limit)
    }

    /// Asks whether a guess may be tried now, and says how it went afterwards.
    ///
    /// No more are tried at once than could be wrong within the hour, so that many at once are as few as many in a row.
    /// Whoever comes on top of them waits until some are answered: behind one address there may be many people who all
    /// know their passwords.
    ///
    /// # Errors
    /// [`Error::RateLimited`](crate::model::Error::RateLimited) where the address, or the caller, has guessed wrong too
    /// often, or did so at this account or room a moment ago; also, for a second, where too many wait.
    pub async fn guess(&self, address: IpAddr, guess: Guess<'_>) -> Result<Attempt> {
        if self.0.config.guesses_per_hour == 0 {
            return Ok(Attempt::free(self));
        }
        let terms = hold(&self.0.ledger).terms(address, guess, self.0.clock.elapsed());
        Attempt::begin(self, terms).await
    }

    /// Counts a message.
    ///
    /// # Errors
    /// [`Error::RateLimited`](crate::model::Error::RateLimited) where the user writes faster than the limit, beyond a
    /// burst.
    pub fn message(&self, user: UserId) -> Result<()> {
        let bucket = Bucket::of(self.0.config.messages_per_second, BURST_SECONDS);
        let now = self.0.clock.elapsed();
        bucket.map_or(Ok(()), |bucket| bucket.take(hold(&self.0.messages).entry(user), now, 1))
    }
}

/// How many seconds' worth of messages may come at once: 200 where 50 a second are allowed.
const BURST_SECONDS: u32 = 4;

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it counts")
}

#[cfg(test)]
mod tests;

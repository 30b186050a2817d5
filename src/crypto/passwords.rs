//! Password hashing that costs the caller time, and everybody else nothing.
//!
//! As many threads hash as there may be hashes at once, each in memory of its own, which it keeps: `worker`. Whoever
//! asks takes a place in a bounded queue, which is fair between networks and accounts: [`fair_queue`](crate::fair_queue). What a hash is:
//! `hasher`.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::oneshot;

use crate::{
    clock::Clock,
    fair_queue::Ticket,
    model::{Error, GivenPassword, Payer, Result},
};

mod hasher;
mod worker;

pub use hasher::Verdict;
use hasher::{Hasher, Work};
use worker::Shared;

/// How many may wait for each thread, of networks and of accounts. More would wait for longer than a person does.
const WAITING_PER_WORKER: usize = 32;
const ACCOUNTS_WAITING_PER_WORKER: usize = 16;

/// How many of them may be of one network: behind one address there may be many people.
const WAITING_OF_NETWORK_PER_WORKER: usize = 30;

/// How many passwords of one account may wait, whatever they open: more than one person sets at once.
const WAITING_OF_ACCOUNT: usize = 8;

/// How many passwords of one payer may wait.
const fn share(payer: Payer, workers: usize) -> usize {
    match payer {
        Payer::Network(_) => workers * WAITING_OF_NETWORK_PER_WORKER,
        Payer::User(_) => WAITING_OF_ACCOUNT,
    }
}

/// Hashes and verifies on threads of its own. A bounded number waits, each payer's in turn; the excess is refused at
/// once. Clones share the threads, which end with the last of them.
#[derive(Clone)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    clock: Clock,
    workers: usize,
    shared: Arc<Shared>,
    /// The cost of the accounts' hashes that are still bcrypt's; 0 where there are none.
    bcrypt_cost: AtomicU32,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Passwords {
    /// Starts `workers` threads.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn start(clock: Clock, workers: usize) -> io::Result<Self> {
        let workers = workers.max(1);
        let shared = Shared::new(workers * WAITING_PER_WORKER, workers * ACCOUNTS_WAITING_PER_WORKER);
        // Made before the threads are, so that those of a start that fails end as well.
        let inner = Inner { clock, workers, shared, bcrypt_cost: AtomicU32::new(0) };
        for index in 0..workers {
            inner.shared.start(index)?;
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Hashes a password on the thread that asks, for a command that has nothing else to do.
    pub fn hash_here(clock: &Clock, password: &str) -> String {
        Hasher::default().hash(password, &clock.random())
    }

    /// Says that some accounts' hashes are bcrypt's, such as this one. From now on whatever is wrong costs the work of
    /// both kinds: else the time would tell which accounts are the original's, and so that they are there.
    pub fn expect_bcrypt(&self, hash: &str) {
        let cost = hash.split('$').nth(2).and_then(|cost| cost.parse().ok());
        self.0.bcrypt_cost.store(cost.unwrap_or(bcrypt::DEFAULT_COST), Ordering::Relaxed);
    }

    /// Takes a place in the queue. Whoever has to read the database first takes it before that, so that a flood
    /// is refused before it costs anything; whoever has to wait for something else takes it after that.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where too many wait, of the payer or in all.
    pub fn admit(&self, payer: Payer) -> Result<Place> {
        let ticket = self.0.shared.admit(payer, share(payer, self.0.workers)).ok_or(Error::Overloaded)?;
        Ok(Place { pool: Arc::clone(&self.0), payer, ticket })
    }

    /// Hashes a password into a PHC string.
    ///
    /// # Errors
    /// As [`Self::admit`] and [`Place::hash`].
    pub async fn hash(&self, payer: Payer, password: &str) -> Result<String> {
        self.admit(payer)?.hash(password).await
    }
}

/// A place in the queue, good for one password. Dropped, also while it waits, it is free at once.
#[must_use = "it is held for nothing"]
pub struct Place {
    pool: Arc<Inner>,
    payer: Payer,
    ticket: Ticket,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.shared.leave(self.payer, self.ticket);
    }
}

impl Place {
    /// Hashes a password into a PHC string.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where the place was given to somebody with a shorter line, [`Error::Internal`] where
    /// hashing panicked.
    pub async fn hash(self, password: &str) -> Result<String> {
        let salt = self.pool.clock.random::<16>();
        let password = password.to_owned();
        self.run(move |hasher| hasher.hash(&password, &salt)).await
    }

    /// Compares a password with a stored hash, and where it is wrong and was typed in another form than is hashed, what was
    /// typed too. None, for an account or room that is not there, costs the same time and is always wrong.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub async fn verify(self, password: &GivenPassword, stored: Option<String>) -> Result<Verdict> {
        let password = password.clone();
        let work = Work::of(stored, self.pool.bcrypt_cost.load(Ordering::Relaxed));
        self.run(move |hasher| work.done_with(&password, hasher)).await
    }

    /// Has `work` done when it is its turn. A caller that is dropped before has its place free at once; what has begun
    /// is finished.
    async fn run<T: Send + 'static>(self, work: impl FnOnce(&mut Hasher) -> T + Send + 'static) -> Result<T> {
        let (done, outcome) = oneshot::channel();
        let job = move |hasher: &mut Hasher| {
            let result = catch_unwind(AssertUnwindSafe(|| work(hasher))).map_err(|_| {
                tracing::error!("hashing a password panicked");
                Error::Internal
            });
            // A caller that has gone needs no answer.
            let _ = done.send(result);
        };
        self.pool.shared.submit(self.payer, self.ticket, Box::new(job));
        // Without an answer it was dropped undone.
        outcome.await.unwrap_or(Err(Error::Overloaded))
    }
}

#[cfg(test)]
mod tests;

//! Hashes and verifies passwords on threads of their own, behind a bounded queue.
//!
//! Each thread does one hash at a time, in memory that it keeps: `worker`. The queue is fair between networks and accounts:
//! [`fair_queue`](crate::fair_queue). The algorithms are in `hasher`.

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
use hasher::{Comparison, Hasher};
use worker::Workers;

/// Length of the queues of networks and of accounts, for each thread. In a longer queue people would wait too long.
const WAITING_PER_WORKER: usize = 32;
const ACCOUNTS_WAITING_PER_WORKER: usize = 16;

/// Maximum of one network, for each thread. Many people may share one address.
const WAITING_OF_NETWORK_PER_WORKER: usize = 30;

/// Maximum of one account, for all of its passwords: more than one person sets at once.
const WAITING_OF_ACCOUNT: usize = 8;

/// Returns the maximum number of waiting passwords of a payer.
const fn max_waiting(payer: Payer, workers: usize) -> usize {
    match payer {
        Payer::Network(_) => workers * WAITING_OF_NETWORK_PER_WORKER,
        Payer::User(_) => WAITING_OF_ACCOUNT,
    }
}

/// A pool of hashing threads and its queue. A full queue refuses at once. Clones share the threads, which end with the last
/// clone.
#[derive(Clone)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    clock: Clock,
    threads: usize,
    workers: Arc<Workers>,
    /// The cost of the bcrypt hashes that accounts still have; 0 if there are none.
    bcrypt_cost: AtomicU32,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.workers.end();
    }
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(clock: Clock, threads: usize) -> io::Result<Self> {
        let threads = threads.max(1);
        let workers = Workers::new(threads * WAITING_PER_WORKER, threads * ACCOUNTS_WAITING_PER_WORKER);
        // Made first: if a thread cannot be started, dropping this ends the others.
        let inner = Inner { clock, threads, workers, bcrypt_cost: AtomicU32::new(0) };
        for index in 0..threads {
            inner.workers.start_thread(index)?;
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Hashes a password on the calling thread, for operator commands.
    pub fn hash_here(clock: &Clock, password: &str) -> String {
        Hasher::default().hash(password, &clock.random())
    }

    /// Announces that some accounts have bcrypt hashes such as this one. From now on every mismatch costs the work of both
    /// algorithms: otherwise the time would reveal which accounts are the original's, and so that they exist.
    pub fn expect_bcrypt(&self, hash: &str) {
        let cost = hash.split('$').nth(2).and_then(|cost| cost.parse().ok());
        self.0.bcrypt_cost.store(cost.unwrap_or(bcrypt::DEFAULT_COST), Ordering::Relaxed);
    }

    /// Takes a slot in the queue. A caller that must read the database first takes the slot before that, so that a flood is
    /// refused before it costs anything. A caller that must wait for something else takes it after that.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the queue is full, or the payer's share of it.
    pub fn admit(&self, payer: Payer) -> Result<QueueSlot> {
        let ticket =
            self.0.workers.admit(payer, max_waiting(payer, self.0.threads)).ok_or(Error::Overloaded)?;
        Ok(QueueSlot { pool: Arc::clone(&self.0), payer, ticket })
    }

    /// Hashes a password into a PHC string.
    ///
    /// # Errors
    /// As [`Self::admit`] and [`QueueSlot::hash`].
    pub async fn hash(&self, payer: Payer, password: &str) -> Result<String> {
        self.admit(payer)?.hash(password).await
    }
}

/// A slot in the queue, for one password. Dropping it frees the slot, also while its job waits.
#[must_use = "it occupies the queue"]
pub struct QueueSlot {
    pool: Arc<Inner>,
    payer: Payer,
    ticket: Ticket,
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        self.pool.workers.leave(self.payer, self.ticket);
    }
}

impl QueueSlot {
    /// Hashes a password into a PHC string.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the slot was given to a payer with a shorter line, [`Error::Internal`] if hashing panicked.
    pub async fn hash(self, password: &str) -> Result<String> {
        let salt = self.pool.clock.random::<16>();
        let password = password.to_owned();
        self.run(move |hasher| hasher.hash(&password, &salt)).await
    }

    /// Compares a password with a stored hash. If it does not match and was typed in another Unicode form than the one
    /// that is hashed, the form as typed is compared too. `None`, for an account or room that does not exist, costs the
    /// same time and never matches.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub async fn verify(self, password: &GivenPassword, stored: Option<String>) -> Result<Verdict> {
        let password = password.clone();
        let comparison = Comparison::new(stored, self.pool.bcrypt_cost.load(Ordering::Relaxed));
        self.run(move |hasher| comparison.run(&password, hasher)).await
    }

    /// Queues `work` and awaits its result. If the caller is dropped before, its slot is free at once; work that has
    /// begun is finished.
    async fn run<T: Send + 'static>(self, work: impl FnOnce(&mut Hasher) -> T + Send + 'static) -> Result<T> {
        let (done, outcome) = oneshot::channel();
        let job = move |hasher: &mut Hasher| {
            let result = catch_unwind(AssertUnwindSafe(|| work(hasher))).map_err(|_| {
                tracing::error!("hashing a password panicked");
                Error::Internal
            });
            // Fails if the caller was dropped.
            let _ = done.send(result);
        };
        self.pool.workers.submit(self.payer, self.ticket, Box::new(job));
        // The sender is dropped without a result if the slot was given to another payer.
        outcome.await.unwrap_or(Err(Error::Overloaded))
    }
}

#[cfg(test)]
mod tests;

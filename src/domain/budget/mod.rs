//! Budgets: how many calls each caller may make a second, and how many at a time.
//!
//! Every call is charged to the user whose token it carries, or else to the network that it comes from. Reads and writes
//! have separate buckets; messages have theirs in [`RateLimits`](super::RateLimits). Calls beyond those that may be in
//! flight wait, in bounded number, so that an honest client with many calls at once is slowed down and not refused. Memory
//! is bounded: the buckets that were not used for longest are dropped first.

mod delayed_refusals;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};

use self::delayed_refusals::DelayedRefusals;
use super::{token_bucket::TokenBucket, two_generation_map::TwoGenerationMap};
use crate::{
    clock::Clock,
    model::{Error, Payer, Result},
};

/// The limits; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct BudgetConfig {
    /// Reading calls of one user (`READS_PER_SECOND`), in bursts of four times as many.
    pub reads_per_second: u32,
    /// Writing calls of one user, except messages (`WRITES_PER_SECOND`), in bursts of four times as many.
    pub writes_per_second: u32,
    /// Calls of one user in flight (`CALLS_PER_USER`); others wait.
    pub calls_per_user: u32,
    /// Calls without an account from one address (`ANONYMOUS_PER_SECOND`), in bursts of ten times as many; and as many new
    /// connections.
    pub anonymous_per_second: u32,
    /// Such calls in flight (`ANONYMOUS_CALLS`); others wait.
    pub anonymous_calls: u32,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            reads_per_second: 100,
            writes_per_second: 20,
            calls_per_user: 16,
            anonymous_per_second: 200,
            anonymous_calls: 256,
        }
    }
}

impl BudgetConfig {
    /// No limit at all.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self {
        reads_per_second: 0,
        writes_per_second: 0,
        calls_per_user: 0,
        anonymous_per_second: 0,
        anonymous_calls: 0,
    };
}

/// What a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cost {
    /// It reads data.
    Read,
    /// It reads and sorts all of the caller's rooms: costs as much as five reads.
    List,
    /// It changes data. It counts as four calls in flight.
    Write,
    /// It opens a stream. Charged as a read, and never in flight: streams have a limit of their own.
    Stream,
    /// It sends a message: [`RateLimits::message`](super::RateLimits::message) counts it later.
    Message,
    /// It opens a connection, in addition to the calls on it.
    Connection,
    /// It is a health check. It has its own bucket, so that a load balancer is answered whatever else comes from its
    /// network.
    Probe,
}

/// How many calls in flight a write counts as, so that one user's writes take a small part of the database's queue.
const WRITE_WEIGHT: u32 = 4;

/// How many reads a list of rooms is charged as.
const LIST_WEIGHT: u32 = 5;

/// The burst of a user's calls, in seconds of the rate.
const USER_BURST_SECONDS: u32 = 4;

/// The burst of a network's calls, in seconds of the rate: many people may share it.
const NETWORK_BURST_SECONDS: u32 = 10;

/// How many calls of one kind may wait for one user.
const USER_WAITING: usize = 512;

/// How many calls of one kind may wait for one network.
const NETWORK_WAITING: usize = 512;

/// How long a call waits.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How many calls may wait in the process. Each takes some kilobytes, and up to a stream's window of unread body.
const MAX_WAITING: usize = 2 * 1024;

/// How many calls of one kind may wait for one payer once half of [`MAX_WAITING`] wait, so that others can wait too.
const WAITING_WHEN_TIGHT: usize = 16;

/// One in this many of a network's calls in flight may be forms: their bodies are buffered while they arrive.
const FORM_SHARE: u32 = 4;

/// `retry_after` while only calls in flight are in the way.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// How many refusals a second are answered at once for one payer; the others after [`REFUSAL_DELAY`].
const REFUSALS_PER_SECOND: u32 = 10;

/// The burst of refusals that are answered at once, in seconds of the rate.
const REFUSALS_BURST_SECONDS: u32 = 2;

/// The average delay of a refusal. Each is delayed between half and one and a half times as long, so that a thousand calls
/// that were refused together are not answered together.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// Delayed refusals are answered in groups, this far apart: one at a time would cost several times as much.
const GROUP_INTERVAL: Duration = Duration::from_millis(50);

/// A handle to the budgets. Clones share them.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    config: BudgetConfig,
    clock: Clock,
    /// When each bucket is empty again, on [`Clock::elapsed`].
    buckets: Mutex<TwoGenerationMap<(Payer, BucketKind), Duration>>,
    /// The calls of each payer and kind that are in flight or wait.
    in_flight: Mutex<HashMap<(Payer, CallKind), Weak<InFlight>>>,
    /// How many calls of all payers wait.
    waiting: AtomicUsize,
    delayed_refusals: DelayedRefusals,
    /// The time from which groups of delayed refusals are counted.
    begun: Instant,
    /// The next delay's share of the range from the shortest to the longest.
    spread: AtomicU32,
}

/// One of a payer's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum BucketKind {
    Reads,
    Writes,
    Probes,
    Connections,
    Refusals,
}

/// Kinds of call in flight. The calls of one kind never wait for those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CallKind {
    /// Reads and writes with a token; reads without.
    Calls,
    /// Messages.
    Messages,
    /// Calls with a body and without a token: a client that never sends the body keeps nobody else from reading.
    Forms,
}

/// The calls of one kind of one payer.
struct InFlight {
    key: (Payer, CallKind),
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
    inner: Weak<Inner>,
}

/// A call in flight, until this is dropped.
#[must_use = "the call counts as in flight until this is dropped"]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
    // Dropped after the permit: the last call of a payer removes its entry.
    _in_flight: Arc<InFlight>,
}

impl Budget {
    /// Creates budgets of which nothing is spent.
    pub fn new(config: BudgetConfig, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            config,
            clock,
            buckets: Mutex::new(TwoGenerationMap::new()),
            in_flight: Mutex::new(HashMap::new()),
            waiting: AtomicUsize::new(0),
            delayed_refusals: DelayedRefusals::default(),
            begun: Instant::now(),
            spread: AtomicU32::new(0),
        }))
    }

    /// Charges for a call, and waits until it may be in flight. Returns no permit where there is no limit.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where the payer calls too often, or too many of their calls wait.
    pub async fn enter(&self, payer: Payer, cost: Cost) -> Result<Option<Permit>> {
        self.pay(payer, cost)?;
        let (kind, calls, weight) = match (payer, cost) {
            // A health check must be answered even while all other calls of its network wait.
            (_, Cost::Probe | Cost::Stream | Cost::Connection) => return Ok(None),
            (Payer::User(_), Cost::Write) => (CallKind::Calls, self.0.config.calls_per_user, WRITE_WEIGHT),
            (Payer::User(_), Cost::Message) => (CallKind::Messages, self.0.config.calls_per_user, 1),
            (Payer::User(_), _) => (CallKind::Calls, self.0.config.calls_per_user, 1),
            (Payer::Network(_), Cost::Write) => {
                (CallKind::Forms, self.0.config.anonymous_calls.div_ceil(FORM_SHARE), 1)
            }
            (Payer::Network(_), _) => (CallKind::Calls, self.0.config.anonymous_calls, 1),
        };
        if calls == 0 {
            return Ok(None);
        }
        let in_flight = self.in_flight((payer, kind), calls);
        let weight = weight.min(calls);
        let permit = match Arc::clone(&in_flight.permits).try_acquire_many_owned(weight) {
            Ok(permit) => permit,
            Err(_) => in_flight.wait(weight, &self.0.waiting).await?,
        };
        Ok(Some(Permit { _permit: permit, _in_flight: in_flight }))
    }

    /// Charges for a call that is never in flight.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where the payer calls too often.
    pub fn pay(&self, payer: Payer, cost: Cost) -> Result<()> {
        let config = &self.0.config;
        let (kind, bucket) = match (payer, cost) {
            (Payer::User(_), Cost::Message) => return Ok(()),
            (Payer::User(_), Cost::Write) => {
                (BucketKind::Writes, TokenBucket::new(config.writes_per_second, USER_BURST_SECONDS))
            }
            (Payer::User(_), _) => {
                (BucketKind::Reads, TokenBucket::new(config.reads_per_second, USER_BURST_SECONDS))
            }
            (Payer::Network(_), Cost::Connection) => (
                BucketKind::Connections,
                TokenBucket::new(config.anonymous_per_second, NETWORK_BURST_SECONDS),
            ),
            (Payer::Network(_), Cost::Probe) => {
                (BucketKind::Probes, TokenBucket::new(config.anonymous_per_second, NETWORK_BURST_SECONDS))
            }
            (Payer::Network(_), _) => {
                (BucketKind::Reads, TokenBucket::new(config.anonymous_per_second, NETWORK_BURST_SECONDS))
            }
        };
        let count = if cost == Cost::List { LIST_WEIGHT } else { 1 };
        bucket.map_or(Ok(()), |bucket| self.take(payer, kind, bucket, count))
    }

    /// Delays the answer to a refused call if its payer is refused too often. The number of delayed refusals is
    /// bounded, for one payer and in all; beyond it refusals are answered at once.
    pub async fn hold_back(&self, payer: Payer) {
        let Some(bucket) = TokenBucket::new(REFUSALS_PER_SECOND, REFUSALS_BURST_SECONDS) else { return };
        if self.take(payer, BucketKind::Refusals, bucket, 1).is_ok() {
            return;
        }
        if let Some(_delayed) = self.0.delayed_refusals.admit(payer) {
            sleep_until(self.release()).await;
        }
    }

    /// Returns when the next delayed refusal is answered.
    fn release(&self) -> Instant {
        // Steps by the golden ratio stay spread out, however many there are.
        let share = self.0.spread.fetch_add(0x9E37_79B9, Ordering::Relaxed);
        let delay = REFUSAL_DELAY / 2 + REFUSAL_DELAY.mul_f64(f64::from(share) / f64::from(u32::MAX));
        let groups = (self.0.begun.elapsed() + delay).as_millis().div_ceil(GROUP_INTERVAL.as_millis());
        self.0.begun + GROUP_INTERVAL * u32::try_from(groups).unwrap_or(u32::MAX)
    }

    fn take(&self, payer: Payer, kind: BucketKind, bucket: TokenBucket, count: u32) -> Result<()> {
        let now = self.0.clock.elapsed();
        bucket.take(self.0.buckets.lock().entry((payer, kind)), now, count)
    }

    fn in_flight(&self, key: (Payer, CallKind), calls: u32) -> Arc<InFlight> {
        let mut entries = self.0.in_flight.lock();
        if let Some(entry) = entries.get(&key).and_then(Weak::upgrade) {
            return entry;
        }
        let entry = Arc::new(InFlight {
            key,
            permits: Arc::new(Semaphore::new(calls as usize)),
            waiting: AtomicUsize::new(0),
            max_waiting: match key.0 {
                Payer::User(_) => USER_WAITING,
                Payer::Network(_) => NETWORK_WAITING,
            },
            inner: Arc::downgrade(&self.0),
        });
        entries.insert(key, Arc::downgrade(&entry));
        entry
    }
}

impl InFlight {
    /// Waits for a permit. `all` counts the calls that wait in the process.
    async fn wait(&self, weight: u32, all: &AtomicUsize) -> Result<OwnedSemaphorePermit> {
        let refused = Error::RateLimited { retry_after: RETRY_SOON };
        let is_tight = all.load(Ordering::Relaxed) >= MAX_WAITING / 2;
        let max = if is_tight { WAITING_WHEN_TIGHT } else { self.max_waiting };
        let (Some(_of_payer), Some(_of_all)) =
            (Counted::add(&self.waiting, max), Counted::add(all, MAX_WAITING))
        else {
            return Err(refused);
        };
        let permit = Arc::clone(&self.permits).acquire_many_owned(weight);
        match timeout(ADMISSION_TIMEOUT, permit).await {
            Ok(permit) => Ok(permit.expect("the semaphore is never closed")),
            Err(_) => Err(refused),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut entries = inner.in_flight.lock();
        // A new entry may have replaced this one meanwhile.
        if entries.get(&self.key).is_some_and(|entry| entry.strong_count() == 0) {
            entries.remove(&self.key);
        }
    }
}

/// One in a bounded count, until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn add(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let more = |count| (count < max).then_some(count + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(count))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;

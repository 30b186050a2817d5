//! What each caller may spend: so many calls a second, and so many under way at a time.
//!
//! Every call is paid for, by the user whose token it carries or else by the network that it comes from. Reads and writes
//! have buckets of their own; messages have theirs in [`Guard`](super::Guard). Calls on top of those that may be under way
//! wait for their turn, a bounded number of them, so that an honest client that asks for much at once is slowed down and
//! not refused. What is kept of each payer is bounded: the buckets that were not touched for longest are forgotten first.

mod held_back;

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

use self::held_back::HeldBack;
use super::{bucket::Bucket, fading::FadingMap};
use crate::{
    clock::Clock,
    model::{Error, Payer, Result},
};

/// The limits; 0 is none.
#[derive(Clone, Copy, Debug)]
pub struct BudgetConfig {
    /// Calls of one user that read (READS_PER_SECOND), in bursts of four times as many.
    pub reads_per_second: u32,
    /// Calls of one user that change something, but for messages (WRITES_PER_SECOND), in bursts of four times as many.
    pub writes_per_second: u32,
    /// Calls of one user that are under way at a time (CALLS_PER_USER); others wait.
    pub calls_per_user: u32,
    /// Calls without an account from one address (ANONYMOUS_PER_SECOND), in bursts of ten times as many; and as many new
    /// connections.
    pub anonymous_per_second: u32,
    /// Such calls that are under way at a time (ANONYMOUS_CALLS); others wait.
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
    /// No limit at all: for tests of something else.
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
    /// It reads.
    Read,
    /// It reads all of the caller's rooms to sort them: as much as five reads.
    List,
    /// It changes something. It counts as four calls under way.
    Write,
    /// It opens a stream: a read that is under way no longer than its opening, and streams have a limit of their own.
    Stream,
    /// It says something: [`Guard::message`](super::Guard::message) counts it when it is said.
    Message,
    /// It opens a connection, which no call on it pays for.
    Connection,
    /// It asks whether the server is well: apart from the rest of its network, so that a load balancer is answered
    /// whatever its neighbours do.
    Probe,
}

/// How many calls under way a write counts for: one user's writes take a small part of the queue for the database.
const WRITE_WEIGHT: u32 = 4;

/// How many reads a list of rooms costs.
const LIST_WEIGHT: u32 = 5;

/// How many seconds' worth may come at once: of a user's calls, and of a network's, behind which there may be many people.
const USER_BURST: u32 = 4;
const NETWORK_BURST: u32 = 10;

/// How many calls of one kind of a payer wait, and for how long.
const USER_WAITING: usize = 512;
const NETWORK_WAITING: usize = 512;
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How many calls wait in the process. Each takes some kilobytes, and up to a stream's window of body that is not read yet.
/// When half of the places are taken, one kind of a payer's calls may have few of them, so that there are some for others.
const MOST_WAITING: usize = 2 * 1024;
const WAITING_WHEN_TIGHT: usize = 16;

/// Which part of a network's calls under way may be forms: their bodies are held while they come.
const FORMS: u32 = 4;

/// When to come again where only other calls under way are in the way.
const SOON: Duration = Duration::from_secs(1);

/// So many refusals a second are answered at once, in bursts of twice as many; the others after [`HELD_BACK`].
const REFUSALS_PER_SECOND: u32 = 10;
const REFUSALS_BURST: u32 = 2;

/// How long the answer to a refused call is held back on average. Each is held between half and one and a half times as long,
/// so that a thousand calls that were refused together are not answered together. They are answered in groups, since one at a
/// time would cost several times as much.
const HELD_BACK: Duration = Duration::from_secs(1);
const BETWEEN_GROUPS: Duration = Duration::from_millis(50);

/// A handle to the budgets. Clones share them.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    config: BudgetConfig,
    clock: Clock,
    /// When each bucket is empty again, on [`Clock::elapsed`].
    buckets: Mutex<FadingMap<(Payer, Purse), Duration>>,
    /// Which kinds of call each payer has under way or waiting.
    lines: Mutex<HashMap<(Payer, Kind), Weak<Line>>>,
    /// How many calls wait, of all payers.
    waiting: AtomicUsize,
    held_back: HeldBack,
    /// What the groups of answers that are held back are counted from.
    begun: Instant,
    /// Where the next answer that is held back lies between the shortest time and the longest.
    spread: AtomicU32,
}

/// Which of a payer's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purse {
    Reads,
    Writes,
    Probes,
    Connections,
    Refusals,
}

/// Which of a payer's calls under way: what one kind waits for is not in the way of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// What reads and changes things.
    Calls,
    /// What says something.
    Messages,
    /// What comes with a body from somebody without a token: who never sends it keeps nobody from reading.
    Forms,
}

/// The calls of one kind of one payer.
struct Line {
    of: (Payer, Kind),
    under_way: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
    inner: Weak<Inner>,
}

/// A call under way, until this is dropped.
#[must_use = "the call counts as under way until this is dropped"]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
    // After the permit: it forgets the payer where this was the last call.
    _line: Arc<Line>,
}

impl Budget {
    /// Makes budgets of which nothing is spent yet.
    pub fn new(config: BudgetConfig, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            config,
            clock,
            buckets: Mutex::new(FadingMap::new()),
            lines: Mutex::new(HashMap::new()),
            waiting: AtomicUsize::new(0),
            held_back: HeldBack::default(),
            begun: Instant::now(),
            spread: AtomicU32::new(0),
        }))
    }

    /// Pays for a call, and waits for its turn. The permit is none where there is no limit.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where the payer calls too often, or too many of their calls wait already.
    pub async fn enter(&self, payer: Payer, cost: Cost) -> Result<Option<Permit>> {
        self.pay(payer, cost)?;
        let (kind, calls, weight) = match (payer, cost) {
            // A probe must be answered even where everything else of its network waits.
            (_, Cost::Probe | Cost::Stream | Cost::Connection) => return Ok(None),
            (Payer::User(_), Cost::Write) => (Kind::Calls, self.0.config.calls_per_user, WRITE_WEIGHT),
            (Payer::User(_), Cost::Message) => (Kind::Messages, self.0.config.calls_per_user, 1),
            (Payer::User(_), _) => (Kind::Calls, self.0.config.calls_per_user, 1),
            (Payer::Network(_), Cost::Write) => {
                (Kind::Forms, self.0.config.anonymous_calls.div_ceil(FORMS), 1)
            }
            (Payer::Network(_), _) => (Kind::Calls, self.0.config.anonymous_calls, 1),
        };
        if calls == 0 {
            return Ok(None);
        }
        let line = self.line((payer, kind), calls);
        let weight = weight.min(calls);
        let permit = match Arc::clone(&line.under_way).try_acquire_many_owned(weight) {
            Ok(permit) => permit,
            Err(_) => line.wait(weight, &self.0.waiting).await?,
        };
        Ok(Some(Permit { _permit: permit, _line: line }))
    }

    /// Pays for a call that is over at once, so that it is never under way.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where the payer calls too often.
    pub fn pay(&self, payer: Payer, cost: Cost) -> Result<()> {
        let config = &self.0.config;
        let (purse, bucket) = match (payer, cost) {
            (Payer::User(_), Cost::Message) => return Ok(()),
            (Payer::User(_), Cost::Write) => {
                (Purse::Writes, Bucket::of(config.writes_per_second, USER_BURST))
            }
            (Payer::User(_), _) => (Purse::Reads, Bucket::of(config.reads_per_second, USER_BURST)),
            (Payer::Network(_), Cost::Connection) => {
                (Purse::Connections, Bucket::of(config.anonymous_per_second, NETWORK_BURST))
            }
            (Payer::Network(_), Cost::Probe) => {
                (Purse::Probes, Bucket::of(config.anonymous_per_second, NETWORK_BURST))
            }
            (Payer::Network(_), _) => (Purse::Reads, Bucket::of(config.anonymous_per_second, NETWORK_BURST)),
        };
        let count = if cost == Cost::List { LIST_WEIGHT } else { 1 };
        bucket.map_or(Ok(()), |bucket| self.take(payer, purse, bucket, count))
    }

    /// Holds the answer to a refused call back, where its payer was refused too often. A bounded number of them are held at a
    /// time, of one payer and of all; the others are given at once.
    pub async fn hold_back(&self, payer: Payer) {
        let Some(bucket) = Bucket::of(REFUSALS_PER_SECOND, REFUSALS_BURST) else { return };
        if self.take(payer, Purse::Refusals, bucket, 1).is_ok() {
            return;
        }
        if let Some(_held) = self.0.held_back.hold(payer) {
            sleep_until(self.release()).await;
        }
    }

    /// Returns when the next answer that is held back goes out.
    fn release(&self) -> Instant {
        // Steps of the golden ratio lie apart from one another, however many there are.
        let share = self.0.spread.fetch_add(0x9E37_79B9, Ordering::Relaxed);
        let held = HELD_BACK / 2 + HELD_BACK.mul_f64(f64::from(share) / f64::from(u32::MAX));
        let groups = (self.0.begun.elapsed() + held).as_millis().div_ceil(BETWEEN_GROUPS.as_millis());
        self.0.begun + BETWEEN_GROUPS * u32::try_from(groups).unwrap_or(u32::MAX)
    }

    fn take(&self, payer: Payer, purse: Purse, bucket: Bucket, count: u32) -> Result<()> {
        let now = self.0.clock.elapsed();
        bucket.take(self.0.buckets.lock().entry((payer, purse)), now, count)
    }

    fn line(&self, of: (Payer, Kind), calls: u32) -> Arc<Line> {
        let mut lines = self.0.lines.lock();
        if let Some(line) = lines.get(&of).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::new(Line {
            of,
            under_way: Arc::new(Semaphore::new(calls as usize)),
            waiting: AtomicUsize::new(0),
            most_waiting: match of.0 {
                Payer::User(_) => USER_WAITING,
                Payer::Network(_) => NETWORK_WAITING,
            },
            inner: Arc::downgrade(&self.0),
        });
        lines.insert(of, Arc::downgrade(&line));
        line
    }
}

impl Line {
    /// Waits for a call's turn; `all` are those that wait in the process.
    async fn wait(&self, weight: u32, all: &AtomicUsize) -> Result<OwnedSemaphorePermit> {
        let refused = Error::RateLimited { retry_after: SOON };
        let is_tight = all.load(Ordering::Relaxed) >= MOST_WAITING / 2;
        let most = if is_tight { WAITING_WHEN_TIGHT } else { self.most_waiting };
        let (Some(_place), Some(_among_all)) =
            (Counted::among(&self.waiting, most), Counted::among(all, MOST_WAITING))
        else {
            return Err(refused);
        };
        let turn = Arc::clone(&self.under_way).acquire_many_owned(weight);
        match timeout(LONGEST_WAIT, turn).await {
            Ok(turn) => Ok(turn.expect("the semaphore is never closed")),
            Err(_) => Err(refused),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut lines = inner.lines.lock();
        // Another one may have begun meanwhile.
        if lines.get(&self.of).is_some_and(|line| line.strong_count() == 0) {
            lines.remove(&self.of);
        }
    }
}

/// One of a bounded number.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn among(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let more = |count| (count < most).then_some(count + 1);
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

//! What everybody does and sees, as it happens.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use grpcchatter_nemesis::{Entry, Event};
use tokio::time::{sleep, timeout};
use tonic::Status;

use crate::client::reason;

/// How often the record is looked at by those who wait for something in it.
const GLANCE: Duration = Duration::from_millis(5);

/// The record of one round, and what those who run it must know of it. What thousands note is a number of their own: one
/// lock for all would be what the round measures.
#[derive(Debug)]
pub(crate) struct Record {
    began: Instant,
    events: Mutex<Vec<Event>>,
    /// The newest acknowledged place of each room.
    acknowledged: Mutex<BTreeMap<usize, i64>>,
    /// The readers who must see everything.
    readers: Mutex<BTreeMap<usize, Reader>>,
    /// How often a call was refused, by the reason that was given.
    refusals: Mutex<BTreeMap<String, usize>>,
    /// How long deliveries took, while somebody measures it.
    delays: Mutex<Option<Vec<Duration>>>,
    numbers: AtomicUsize,
    sends: AtomicUsize,
    /// The longest that a call waited for its answer or its error, in microseconds.
    slowest: AtomicU64,
}

/// Somebody who reads a room.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    /// Its number, which no other has.
    pub(crate) number: usize,
    room: usize,
    newest: Arc<AtomicI64>,
}

impl Reader {
    /// Notes that it has seen the message at this place, and all before it.
    pub(crate) fn has(&self, seq: i64) {
        self.newest.fetch_max(seq, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Record {
    /// Makes an empty record.
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            events: Mutex::default(),
            acknowledged: Mutex::default(),
            readers: Mutex::default(),
            refusals: Mutex::default(),
            delays: Mutex::default(),
            numbers: AtomicUsize::new(1),
            sends: AtomicUsize::new(0),
            slowest: AtomicU64::new(0),
        }
    }

    /// Returns a number for a reader or a stream that no other has.
    pub(crate) fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the time since the round began, in microseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes what happened.
    pub(crate) fn note(&self, event: Event) {
        lock(&self.events).push(event);
    }

    /// Notes an acknowledgement.
    pub(crate) fn acknowledged(&self, room: usize, id: &str, seq: i64, chat: Option<usize>) {
        self.note(Event::Acknowledged { id: id.to_owned(), seq, chat });
        let mut acknowledged = lock(&self.acknowledged);
        let newest = acknowledged.entry(room).or_insert(0);
        *newest = (*newest).max(seq);
    }

    /// Counts a send, and notes how long it waited for its answer or its error.
    pub(crate) fn answered(&self, after: Duration) {
        self.sends.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.slowest.fetch_max(micros, Ordering::Relaxed);
    }

    /// Notes what a reader was told.
    pub(crate) fn received(&self, reader: &Reader, message: Entry) {
        reader.has(message.seq);
        if let Some(delays) = &mut *lock(&self.delays)
            && let Some(said) = message.body.rsplit(' ').next().and_then(|said| said.parse().ok())
        {
            delays.push(Duration::from_micros(self.now().saturating_sub(said)));
        }
        self.note(Event::Received { reader: reader.number, message });
    }

    /// Makes a reader who need not see everything: one who talks, or asks for what never was.
    pub(crate) fn reader(&self, room: usize) -> Reader {
        Reader { number: self.number(), room, newest: Arc::default() }
    }

    /// Counts a reader in, who must see everything from here on.
    pub(crate) fn enter(&self, room: usize) -> Reader {
        let reader = self.reader(room);
        lock(&self.readers).insert(reader.number, reader.clone());
        reader
    }

    /// Counts a reader out.
    pub(crate) fn leave(&self, reader: &Reader) {
        self.note(Event::Left { reader: reader.number });
        lock(&self.readers).remove(&reader.number);
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, status: &Status) {
        self.refused_because(reason(status));
    }

    /// Counts a refusal for a reason that the server named.
    pub(crate) fn refused_because(&self, reason: String) {
        *lock(&self.refusals).entry(reason).or_insert(0) += 1;
    }

    /// Returns how often calls were refused, by the reason.
    pub(crate) fn refusals(&self) -> BTreeMap<String, usize> {
        lock(&self.refusals).clone()
    }

    /// Returns the newest acknowledged place of a room.
    pub(crate) fn newest(&self, room: usize) -> i64 {
        lock(&self.acknowledged).get(&room).copied().unwrap_or(0)
    }

    /// Returns how many readers of the rooms that are named have not yet seen the place that is named with each.
    pub(crate) fn behind(&self, goals: &BTreeMap<usize, i64>) -> usize {
        let is_behind = |reader: &&Reader| {
            goals.get(&reader.room).is_some_and(|goal| reader.newest.load(Ordering::Relaxed) < *goal)
        };
        lock(&self.readers).values().filter(is_behind).count()
    }

    /// Returns how many sends were answered, by a place or an error.
    pub(crate) fn sends(&self) -> usize {
        self.sends.load(Ordering::Relaxed)
    }

    /// Returns the longest that a send waited for its answer or its error.
    pub(crate) fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest.load(Ordering::Relaxed))
    }

    /// Measures how long deliveries take from here on.
    pub(crate) fn measure(&self) {
        *lock(&self.delays) = Some(Vec::new());
    }

    /// Measures no more, and returns how many deliveries there were, and how long all but a hundredth took at most.
    pub(crate) fn measured(&self) -> (usize, Duration) {
        let mut delays = lock(&self.delays).take().unwrap_or_default();
        delays.sort_unstable();
        let place = delays.len() * 99 / 100;
        (delays.len(), delays.get(place).copied().unwrap_or_default())
    }

    /// Takes what happened.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.events))
    }
}

/// Says whether something comes true in time.
pub(crate) async fn until(patience: Duration, mut come: impl FnMut() -> bool) -> bool {
    let waiting = async {
        while !come() {
            sleep(GLANCE).await;
        }
    };
    timeout(patience, waiting).await.is_ok()
}

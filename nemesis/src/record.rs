//! The record of a round: what all clients do and see, as it happens.

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

/// The pause between two looks at a condition that a round waits for.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The record of one round. Each reader has a counter of its own for what it has seen: with thousands of readers, one lock
/// for all would dominate the delays that the round measures.
#[derive(Debug)]
pub(crate) struct Record {
    began: Instant,
    events: Mutex<Vec<Event>>,
    /// The newest acknowledged seq of each room.
    acknowledged: Mutex<BTreeMap<usize, i64>>,
    /// The readers that must see every message.
    readers: Mutex<BTreeMap<usize, Reader>>,
    /// The number of refused calls by reason.
    refusals: Mutex<BTreeMap<String, usize>>,
    /// The delays of deliveries while they are measured.
    delays: Mutex<Option<Vec<Duration>>>,
    numbers: AtomicUsize,
    sends: AtomicUsize,
    /// The longest time that a send waited for its answer or its error, in microseconds.
    slowest: AtomicU64,
}

/// A client that reads a room.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    /// Its number, unique in the round.
    pub(crate) number: usize,
    room: usize,
    newest: Arc<AtomicI64>,
}

impl Reader {
    /// Records that the reader has seen all messages up to this seq.
    pub(crate) fn advance_to(&self, seq: i64) {
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

    /// Returns a number for a reader or a stream, unique in the round.
    pub(crate) fn next_number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the time since the round began, in microseconds.
    pub(crate) fn elapsed_micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Records an event.
    pub(crate) fn push(&self, event: Event) {
        lock(&self.events).push(event);
    }

    /// Records an acknowledgement.
    pub(crate) fn acknowledged(&self, room: usize, id: &str, seq: i64, chat: Option<usize>) {
        self.push(Event::Acknowledged { id: id.to_owned(), seq, chat });
        let mut acknowledged = lock(&self.acknowledged);
        let newest = acknowledged.entry(room).or_insert(0);
        *newest = (*newest).max(seq);
    }

    /// Counts a send that ended with an answer or an error, and records how long it took.
    pub(crate) fn send_finished(&self, after: Duration) {
        self.sends.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.slowest.fetch_max(micros, Ordering::Relaxed);
    }

    /// Records a message that a reader received.
    pub(crate) fn received(&self, reader: &Reader, message: Entry) {
        reader.advance_to(message.seq);
        if let Some(delays) = &mut *lock(&self.delays)
            && let Some(written) = message.body.rsplit(' ').next().and_then(|text| text.parse().ok())
        {
            delays.push(Duration::from_micros(self.elapsed_micros().saturating_sub(written)));
        }
        self.push(Event::Received { reader: reader.number, message });
    }

    /// Makes a reader that need not see every message: one that sends, or that resumes after a message that never was.
    pub(crate) fn unchecked_reader(&self, room: usize) -> Reader {
        Reader { number: self.next_number(), room, newest: Arc::default() }
    }

    /// Adds a reader that must see every message.
    pub(crate) fn add_reader(&self, room: usize) -> Reader {
        let reader = self.unchecked_reader(room);
        lock(&self.readers).insert(reader.number, reader.clone());
        reader
    }

    /// Removes a reader, which need not see the newest messages from now on.
    pub(crate) fn remove_reader(&self, reader: &Reader) {
        self.push(Event::Left { reader: reader.number });
        lock(&self.readers).remove(&reader.number);
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, status: &Status) {
        self.count_refusal(reason(status));
    }

    /// Counts a refusal for a reason.
    pub(crate) fn count_refusal(&self, reason: String) {
        *lock(&self.refusals).entry(reason).or_insert(0) += 1;
    }

    /// Returns the number of refused calls by reason.
    pub(crate) fn refusals(&self) -> BTreeMap<String, usize> {
        lock(&self.refusals).clone()
    }

    /// Returns the newest acknowledged seq of a room.
    pub(crate) fn newest_acknowledged(&self, room: usize) -> i64 {
        lock(&self.acknowledged).get(&room).copied().unwrap_or(0)
    }

    /// Returns the number of readers that have not reached their room's goal; `goals` is a seq for each room.
    pub(crate) fn readers_behind(&self, goals: &BTreeMap<usize, i64>) -> usize {
        let is_behind = |reader: &&Reader| {
            goals.get(&reader.room).is_some_and(|goal| reader.newest.load(Ordering::Relaxed) < *goal)
        };
        lock(&self.readers).values().filter(is_behind).count()
    }

    /// Returns the number of sends that ended with an answer or an error.
    pub(crate) fn finished_sends(&self) -> usize {
        self.sends.load(Ordering::Relaxed)
    }

    /// Returns the longest time that a send waited for its answer or its error.
    pub(crate) fn slowest_send(&self) -> Duration {
        Duration::from_micros(self.slowest.load(Ordering::Relaxed))
    }

    /// Starts to measure the delays of deliveries.
    pub(crate) fn start_measuring(&self) {
        *lock(&self.delays) = Some(Vec::new());
    }

    /// Stops measuring, and returns the p99 of the delays since the start; none without a delivery.
    pub(crate) fn take_delivery_p99(&self) -> Option<Duration> {
        let mut delays = lock(&self.delays).take().unwrap_or_default();
        delays.sort_unstable();
        delays.get(delays.len() * 99 / 100).copied()
    }

    /// Takes the events.
    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.events))
    }
}

/// Waits until a condition holds; returns whether it does so in time.
pub(crate) async fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let waiting = async {
        while !holds() {
            sleep(POLL_INTERVAL).await;
        }
    };
    timeout(limit, waiting).await.is_ok()
}

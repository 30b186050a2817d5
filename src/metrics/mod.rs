//! What the process counts, for /metrics. Counting costs an uncontended atomic addition and no allocation.
//!
//! The figures belong to the process, as Prometheus expects of one that it scrapes. What can be asked for when it is
//! wanted, such as how many streams are open, is not counted here but told as [`Levels`].

mod figures;
mod histogram;
mod levels;
mod process;
mod text;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use parking_lot::RwLock;

pub use self::{
    figures::{
        BATCH_MESSAGES, BATCH_SECONDS, CATCH_UP_READS, CONNECTIONS_ACCEPTED, CONNECTIONS_REFUSED, DELIVERIES,
        DELIVERY_SECONDS, GRPC_HANDLED, GRPC_SECONDS, GRPC_STARTED, HANDSHAKES_FAILED, HTTP_REQUESTS,
        HTTP_SECONDS, LOG_INS, MESSAGES_STORED, PAGES_READ, PASSWORD_QUEUE_SECONDS, QUEUE_SECONDS, REFUSALS,
        REGISTRATIONS, STREAMS_PARKED, write,
    },
    histogram::{Histogram, SharedHistogram, Unit},
    levels::{Levels, Pool},
    process::resident_bytes,
    text::Format,
};

/// As many threads count side by side; more share.
const CELLS: usize = 16;

/// A number that only rises. Each thread adds to a cell of its own cache line, so that shards do not slow one another.
#[derive(Debug)]
pub struct Counter {
    cells: [Cell; CELLS],
}

#[derive(Debug)]
#[repr(align(64))]
struct Cell(AtomicU64);

thread_local! {
    static CELL: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % CELLS
    };
}

/// Returns the copy that this thread adds to.
fn cell() -> usize {
    CELL.with(|cell| *cell)
}

impl Counter {
    /// Begins at zero.
    #[expect(clippy::new_without_default, reason = "a static is made of it, which no default can")]
    pub const fn new() -> Self {
        Self { cells: [const { Cell(AtomicU64::new(0)) }; CELLS] }
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.cells[cell()].0.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    fn get(&self) -> u64 {
        self.cells.iter().map(|cell| cell.0.load(Ordering::Relaxed)).sum()
    }
}

/// The values of a figure's labels, in the order of their names. They are part of the program's text, so nobody outside
/// can make more of them.
pub type Labels<const N: usize> = [&'static str; N];

/// A figure with labels: one value for each combination that occurred.
#[derive(Debug)]
pub struct Labelled<T, const N: usize> {
    names: Labels<N>,
    new: fn() -> T,
    /// Those that are there before they occur: the first of a series that is not there yet is no increase.
    preset: &'static [Labels<N>],
    values: RwLock<BTreeMap<Labels<N>, T>>,
}

impl<T, const N: usize> Labelled<T, N> {
    const fn new(names: Labels<N>, new: fn() -> T) -> Self {
        Self { names, new, preset: &[], values: RwLock::new(BTreeMap::new()) }
    }

    const fn preset(mut self, labels: &'static [Labels<N>]) -> Self {
        self.preset = labels;
        self
    }

    /// Makes the values that are there before they occur.
    fn fill_preset(&self) {
        for labels in self.preset {
            self.with(*labels, |_| ());
        }
    }

    fn with(&self, labels: Labels<N>, count: impl FnOnce(&T)) {
        if let Some(value) = self.values.read().get(&labels) {
            return count(value);
        }
        count(self.values.write().entry(labels).or_insert_with(self.new));
    }
}

impl<const N: usize> Labelled<AtomicU64, N> {
    /// Adds one to the value with these labels.
    pub fn increment(&self, labels: Labels<N>) {
        self.with(labels, |value| {
            value.fetch_add(1, Ordering::Relaxed);
        });
    }
}

impl<const N: usize> Labelled<Histogram, N> {
    /// Notes how long something with these labels took.
    pub fn observe(&self, labels: Labels<N>, took: std::time::Duration) {
        self.with(labels, |value| value.observe_duration(took));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_together() {
        static COUNTER: Counter = Counter::new();
        std::thread::scope(|scope| {
            for _ in 0..2 * CELLS {
                scope.spawn(|| (0..1_000).for_each(|_| COUNTER.increment()));
            }
        });
        assert_eq!(COUNTER.get(), 2 * CELLS as u64 * 1_000);
    }
}

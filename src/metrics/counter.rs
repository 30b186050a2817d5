//! Counters: numbers that only rise.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The cells of a counter. Threads beyond this number share cells.
pub(super) const CELLS: usize = 16;

/// A number that only rises. Each thread adds to a cell in a cache line of its own, so that shards do not slow each other
/// down.
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

/// Returns the index of the cell that this thread adds to.
pub(super) fn cell() -> usize {
    CELL.with(|cell| *cell)
}

impl Counter {
    /// Makes a counter at zero.
    #[expect(clippy::new_without_default, reason = "it initialises statics, and `default` is not const")]
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

    /// Returns the sum of all cells.
    pub(super) fn get(&self) -> u64 {
        self.cells.iter().map(|cell| cell.0.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_all_threads_are_summed() {
        static COUNTER: Counter = Counter::new();
        std::thread::scope(|scope| {
            for _ in 0..2 * CELLS {
                scope.spawn(|| (0..1_000).for_each(|_| COUNTER.increment()));
            }
        });
        assert_eq!(COUNTER.get(), 2 * CELLS as u64 * 1_000);
    }
}

//! Histograms of durations and counts, with fixed buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::counter::{CELLS, cell};

/// What a histogram observes, which decides the bounds of its buckets.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Durations, which are exported in seconds.
    Seconds,
    /// Numbers of things.
    Count,
}

/// The upper bounds of the buckets for durations, in microseconds.
const MICROS: [u64; BUCKETS] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];
/// The upper bounds of the buckets for counts.
const COUNTS: [u64; BUCKETS] = [1, 2, 3, 5, 8, 12, 20, 35, 60, 100, 175, 300, 500, 800, 1_300, 2_000];

const BUCKETS: usize = 16;

/// How many values fell into each bucket, and their sum.
#[derive(Debug)]
pub struct Histogram {
    unit: Unit,
    buckets: [AtomicU64; BUCKETS],
    /// Values above the last bound.
    overflow: AtomicU64,
    /// In microseconds for durations.
    sum: AtomicU64,
}

impl Histogram {
    /// Makes an empty histogram.
    pub const fn new(unit: Unit) -> Self {
        let buckets = [const { AtomicU64::new(0) }; BUCKETS];
        Self { unit, buckets, overflow: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Observes a duration.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Observes a value, in the unit of the bounds.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds().partition_point(|bound| *bound < value);
        self.buckets.get(bucket).unwrap_or(&self.overflow).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn bounds(&self) -> &'static [u64; BUCKETS] {
        match self.unit {
            Unit::Seconds => &MICROS,
            Unit::Count => &COUNTS,
        }
    }

    fn scaled(&self, value: u64) -> f64 {
        match self.unit {
            Unit::Seconds => value as f64 / 1e6,
            Unit::Count => value as f64,
        }
    }

    /// Returns each upper bound with the number of values up to it, and last the number of all values, without a bound.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (Option<f64>, u64)> {
        let counts = self.buckets.iter().chain([&self.overflow]).map(|count| count.load(Ordering::Relaxed));
        let bounds = self.bounds().iter().map(|bound| Some(self.scaled(*bound))).chain([None]);
        bounds.zip(counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((bound, *sum))
        })
    }

    /// Returns the sum of all values.
    pub(super) fn sum(&self) -> f64 {
        self.scaled(self.sum.load(Ordering::Relaxed))
    }
}

/// A histogram to which all shards add with every message. Each thread adds to its own copy, as with
/// [`Counter`](super::Counter).
#[derive(Debug)]
pub struct SharedHistogram {
    unit: Unit,
    copies: [Aligned; CELLS],
}

#[derive(Debug)]
#[repr(align(64))]
struct Aligned(Histogram);

impl SharedHistogram {
    /// Makes an empty histogram.
    pub const fn new(unit: Unit) -> Self {
        let mut copies = [const { Aligned(Histogram::new(Unit::Count)) }; CELLS];
        let mut at = 0;
        while at < CELLS {
            copies[at].0.unit = unit;
            at += 1;
        }
        Self { unit, copies }
    }

    /// Observes a duration.
    pub fn observe_duration(&self, duration: Duration) {
        self.copies[cell()].0.observe_duration(duration);
    }

    /// Returns the sum of all copies.
    pub(super) fn merged(&self) -> Histogram {
        let merged = Histogram::new(self.unit);
        let pairs = |from: &Histogram| {
            let cells = from.buckets.iter().chain([&from.overflow, &from.sum]);
            cells.map(|cell| cell.load(Ordering::Relaxed)).collect::<Vec<_>>()
        };
        for copy in &self.copies {
            let all = merged.buckets.iter().chain([&merged.overflow, &merged.sum]);
            for (sum, value) in all.zip(pairs(&copy.0)) {
                sum.fetch_add(value, Ordering::Relaxed);
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_observations_of_all_threads_are_merged() {
        static HISTOGRAM: SharedHistogram = SharedHistogram::new(Unit::Seconds);
        std::thread::scope(|scope| {
            for _ in 0..2 * CELLS {
                scope.spawn(|| HISTOGRAM.observe_duration(Duration::from_millis(2)));
            }
        });
        let merged = HISTOGRAM.merged();
        let all = 2 * CELLS as u64;
        assert_eq!(merged.cumulative().last(), Some((None, all)));
        assert_eq!(merged.sum(), 0.002 * all as f64);
    }

    #[test]
    fn a_value_counts_in_its_bucket_and_in_all_larger_ones() {
        let histogram = Histogram::new(Unit::Seconds);
        for millis in [1, 2, 20_000] {
            histogram.observe_duration(Duration::from_millis(millis));
        }
        let seen: Vec<_> = histogram.cumulative().collect();
        let at = |bound: Option<f64>| seen.iter().find(|(found, _)| *found == bound).map(|(_, count)| *count);
        assert_eq!([0.0005, 0.001, 0.0025, 10.0].map(|bound| at(Some(bound))), [0, 1, 2, 2].map(Some));
        assert_eq!((at(None), histogram.sum()), (Some(3), 20.003));
    }
}

//! Metrics with labels: one series for each combination of label values.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::RwLock;

use super::histogram::Histogram;

/// The values of a metric's labels, in the order of their names. They are literals of the program, so no caller can create
/// more series.
pub type Labels<const N: usize> = [&'static str; N];

/// A metric with labels: one value for each combination that has occurred.
#[derive(Debug)]
pub struct Labelled<T, const N: usize> {
    pub(super) names: Labels<N>,
    new: fn() -> T,
    /// Series that exist from the start, because Prometheus sees no increase in the first sample of a new series.
    preset: &'static [Labels<N>],
    pub(super) values: RwLock<BTreeMap<Labels<N>, T>>,
}

impl<T, const N: usize> Labelled<T, N> {
    pub(super) const fn new(names: Labels<N>, new: fn() -> T) -> Self {
        Self { names, new, preset: &[], values: RwLock::new(BTreeMap::new()) }
    }

    pub(super) const fn preset(mut self, labels: &'static [Labels<N>]) -> Self {
        self.preset = labels;
        self
    }

    /// Creates the preset series.
    pub(super) fn fill_preset(&self) {
        for labels in self.preset {
            self.with(*labels, |_| ());
        }
    }

    fn with(&self, labels: Labels<N>, update: impl FnOnce(&T)) {
        if let Some(value) = self.values.read().get(&labels) {
            return update(value);
        }
        update(self.values.write().entry(labels).or_insert_with(self.new));
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
    /// Observes a duration with these labels.
    pub fn observe(&self, labels: Labels<N>, duration: std::time::Duration) {
        self.with(labels, |value| value.observe_duration(duration));
    }
}

//! Durations and their 99th percentile.

use std::{fmt, time::Duration};

/// Durations, in the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Returns the 99th percentile.
    pub(crate) fn p99(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let beyond = sorted.len() / 100;
        sorted.get(sorted.len().saturating_sub(1 + beyond)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p99 {:.1} ms of {}", self.p99().as_secs_f64() * 1e3, self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p99_ignores_one_slow_duration_in_a_hundred() {
        let of = |slow: u64| {
            let times = (1..=200).map(|nth| Duration::from_millis(if nth <= slow { 500 } else { 1 }));
            Latencies(times.collect()).p99().as_millis()
        };
        assert_eq!((of(0), of(2), of(3)), (1, 1, 500));
        assert_eq!(Latencies::default().p99(), Duration::ZERO);
    }
}

//! Latencies and their quantiles, and the statistics that compare two samples.

use std::time::Duration;

/// Latencies in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Adds one latency; above 71 minutes it is cut off.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds all latencies of another sample.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Returns the number of latencies.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the latency, in milliseconds, that `share` of all do not exceed; 0 for an empty sample.
    pub(crate) fn quantile(&mut self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        match self.0.is_empty() {
            true => 0.0,
            false => f64::from(*self.0.select_nth_unstable(index).1) / 1000.0,
        }
    }
}

/// Returns the median of `values`; of two middle values, the upper one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the area under the ROC curve, by the Mann-Whitney U: the share of pairs in which the value of `left` exceeds the
/// one of `right`, with ties counting half. It is 0.5 for two samples that cannot be distinguished.
pub(crate) fn auc(left: &[f64], right: &[f64]) -> f64 {
    let wins: f64 = left
        .iter()
        .flat_map(|l| {
            right.iter().map(move |r| {
                if l > r {
                    1.0
                } else if l < r {
                    0.0
                } else {
                    0.5
                }
            })
        })
        .sum();
    wins / (left.len() * right.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_of_consecutive_numbers_are_their_rank() {
        let mut all = Latencies::default();
        (1..=101).rev().for_each(|millis| all.add(Duration::from_millis(millis)));
        assert_eq!(
            (all.quantile(0.5), all.quantile(0.99), Latencies::default().quantile(0.5)),
            (51.0, 100.0, 0.0)
        );
    }

    #[test]
    fn the_auc_of_equal_samples_is_a_half_and_of_disjoint_ones_0_or_1() {
        assert_eq!(auc(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), 0.5);
        assert_eq!(auc(&[4.0, 5.0], &[1.0, 2.0]), 1.0);
        assert_eq!(auc(&[1.0], &[4.0, 5.0]), 0.0);
    }
}

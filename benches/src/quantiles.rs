//! Latencies, and the place in them below which a share of them lies.

use std::time::Duration;

/// Latencies in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Quantiles(Vec<u32>);

impl Quantiles {
    /// Takes one latency in; beyond an hour it counts as an hour and some.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// Takes all of another's in.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Returns how many there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the latency, in milliseconds, that `share` of all do not exceed; 0 where there is none.
    pub(crate) fn at(&mut self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let place = (last as f64 * share).round() as usize;
        match self.0.is_empty() {
            true => 0.0,
            false => f64::from(*self.0.select_nth_unstable(place).1) / 1000.0,
        }
    }
}

/// Returns the middle one of `values`, the upper where two are in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns how often a value of `left` is above one of `right`, a tie counting half: 0.5 where the two cannot
/// be told apart (the area under the ROC curve, by the Mann–Whitney U).
pub(crate) fn area(left: &[f64], right: &[f64]) -> f64 {
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
    fn the_quantiles_of_one_to_a_hundred_are_their_own_rank() {
        let mut all = Quantiles::default();
        (1..=101).rev().for_each(|millis| all.add(Duration::from_millis(millis)));
        assert_eq!((all.at(0.5), all.at(0.99), Quantiles::default().at(0.5)), (51.0, 100.0, 0.0));
    }

    #[test]
    fn the_area_is_a_half_for_the_same_and_one_for_the_separate() {
        assert_eq!(area(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), 0.5);
        assert_eq!(area(&[4.0, 5.0], &[1.0, 2.0]), 1.0);
        assert_eq!(area(&[1.0], &[4.0, 5.0]), 0.0);
    }
}

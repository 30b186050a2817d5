//! Curves: a figure measured at several sizes, its growth, and the rows that judge it.

use crate::report::Row;

/// A cost of one operation that grows with this power of the size is not worse than linear: n operations at size n then cost
/// at most `n^1.2`. The 0.2 is for noise and for the logarithm in a tree's depth.
const FLOOR: f64 = 0.2;
const GOAL: f64 = 0.1;
/// The largest ratio of two costs of something that does not notice the size.
const UNNOTICED: (f64, f64) = (1.25, 1.1);

/// A figure measured at several sizes.
#[derive(Debug)]
pub(crate) struct Curve {
    /// The name of the plot's file, without its extension.
    pub(crate) file: &'static str,
    /// The figure, with its unit.
    pub(crate) figure: &'static str,
    /// What the size counts.
    pub(crate) size: &'static str,
    /// Sizes, rising, and the figure at each.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Curve {
    /// Makes an empty curve.
    pub(crate) const fn new(file: &'static str, figure: &'static str, size: &'static str) -> Self {
        Self { file, figure, size, points: Vec::new() }
    }

    /// Adds the figure at the next size.
    pub(crate) fn add(&mut self, size: u32, figure: f64) {
        self.points.push((f64::from(size), figure));
    }

    /// Returns whether there are two sizes or more, and each figure is positive. Growth is not defined without.
    pub(crate) fn has_growth(&self) -> bool {
        self.points.len() >= 2 && self.points.iter().all(|(_, figure)| figure.is_finite() && *figure > 0.0)
    }

    /// Returns the exponent of the steepest step between two sizes: the figure grows there with this power of the size. A fit
    /// over all sizes would hide a rise that comes after a fall. It is NaN, which meets no floor, where there is no growth.
    pub(crate) fn exponent(&self) -> f64 {
        if !self.has_growth() {
            return f64::NAN;
        }
        let steps = self.points.iter().zip(self.points.iter().skip(1));
        let exponents = steps.map(|(&(n, before), &(m, after))| (after / before).ln() / (m / n).ln());
        exponents.fold(f64::NEG_INFINITY, f64::max)
    }

    /// Returns the figure at the largest size beside the one at the smallest, and judges the exponent.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let exponent = Row::new(format!("{}: exponent", self.figure), self.exponent()).at_most(FLOOR, GOAL);
        self.ends().map(|(_, row)| row).into_iter().chain([exponent]).collect()
    }

    /// Judges the figure at the largest size by the one at the smallest: the size must not be noticed. Where there is no
    /// growth, the floor is NaN, and no figure meets it.
    pub(crate) fn unnoticed_rows(&self) -> Vec<Row> {
        let limit = |ratio: f64, before: f64| if self.has_growth() { ratio * before } else { f64::NAN };
        let row =
            |(before, row): (f64, Row)| row.at_most(limit(UNNOTICED.0, before), limit(UNNOTICED.1, before));
        self.ends().map(row).into_iter().collect()
    }

    /// Returns the figure at the smallest size, and the row of the largest beside it.
    fn ends(&self) -> Option<(f64, Row)> {
        let (&(smallest, before), &(largest, after)) = self.points.first().zip(self.points.last())?;
        let name = format!("{}, {largest} {} ({smallest})", self.figure, self.size);
        Some((before, Row::new(name, after).beside(before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(u32, f64)]) -> Curve {
        let mut curve = Curve::new("file", "figure", "sizes");
        points.iter().for_each(|(size, figure)| curve.add(*size, *figure));
        curve
    }

    #[test]
    fn the_exponent_is_the_power_of_the_size() {
        for power in [-1, 0, 1, 2] {
            let points = [10, 100, 1_000].map(|size| (size, 7.0 * f64::from(size).powi(power)));
            assert!((curve(&points).exponent() - f64::from(power)).abs() < 1e-9, "{power}");
        }
    }

    #[test]
    fn a_rise_after_a_fall_is_the_exponent() {
        assert!((curve(&[(1, 50.0), (10, 1.0), (100, 10.0)]).exponent() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_curve_with_one_size_or_a_figure_that_is_not_positive_meets_nothing() {
        let meets = |rows: &[Row]| rows.iter().any(Row::meets_floor);
        for points in [
            &[][..],
            &[(1, 5.0)],
            &[(1, 0.0), (10, 5.0)],
            &[(1, 5.0), (10, -5.0)],
            &[(1, 5.0), (10, 0.0), (100, 5.0)],
            &[(1, 5.0), (10, f64::NAN), (100, 5.0)],
            &[(1, f64::INFINITY), (10, 5.0)],
        ] {
            let curve = curve(points);
            assert!(curve.exponent().is_nan(), "{points:?}");
            assert!(!meets(&curve.rows()) && !meets(&curve.unnoticed_rows()), "{points:?}");
        }
        let level = curve(&[(1, 5.0), (10, 5.0)]);
        assert!(meets(&level.rows()) && meets(&level.unnoticed_rows()));
    }
}

//! Plots of curves as SVG: small, with both axes logarithmic, the same text for the same figures.
//!
//! A plot has a background of its own, which follows the reader's preference for light or dark.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::curve::Curve;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 260.0;
/// The frame around the points: left, right, top, bottom.
const FRAME: (f64, f64, f64, f64) = (54.0, 404.0, 52.0, 216.0);
/// The colours of the lines differ in lightness too.
const STYLE: &str = "\
    text{fill:#222;font:12px system-ui,sans-serif}.m{text-anchor:middle}.e{text-anchor:end}\
    .b{fill:#fff}.g{stroke:#ddd}.l{fill:none;stroke-width:2}\
    .s0{stroke:#0b62c4}.f0{fill:#0b62c4}.s1{stroke:#d9730d}.f1{fill:#d9730d}\
    @media(prefers-color-scheme:dark){text{fill:#ddd}.b{fill:#16181d}.g{stroke:#3a3d44}\
    .s0{stroke:#6cb2ff}.f0{fill:#6cb2ff}.s1{stroke:#ffb057}.f1{fill:#ffb057}}";

/// A logarithmic axis.
#[derive(Clone, Copy, Debug)]
struct Axis {
    /// The values at its ends.
    values: (f64, f64),
    /// The coordinates of its ends.
    at: (f64, f64),
}

/// Writes a plot of each curve into a folder. The curves of each database are in the same order. Those without growth are left
/// out, because a logarithmic axis cannot show them.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(folder: &Path, databases: &[&str], measured: &[Vec<Curve>]) -> Result<()> {
    fs::create_dir_all(folder)?;
    for index in 0..measured.first().map_or(0, Vec::len) {
        let curves = measured.iter().filter_map(|curves| curves.get(index));
        let lines: Vec<_> =
            databases.iter().copied().zip(curves).filter(|(_, curve)| curve.has_growth()).collect();
        let Some((_, first)) = lines.first() else { continue };
        let path = folder.join(format!("{}.svg", first.file));
        fs::write(&path, svg(first, &lines)).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

impl Axis {
    /// Makes an axis that holds all values, at least one decade, from one round number to another.
    fn around(values: impl Iterator<Item = f64> + Clone, at: (f64, f64)) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let greatest = values.fold(0.0, f64::max);
        let middle = (least * greatest).sqrt();
        let low = round_below(least.min(middle / 10_f64.sqrt()));
        let high = 1.0 / round_below(1.0 / greatest.max(low * 10.0));
        Self { values: (low, high), at }
    }

    /// Makes an axis between the sizes at its ends.
    fn between(points: &[(f64, f64)], at: (f64, f64)) -> Self {
        let ends = points.first().zip(points.last());
        let values = ends.map_or((1.0, 10.0), |(first, last)| (first.0, last.0));
        Self { values, at }
    }

    /// Returns the coordinate of a value.
    fn coordinate(self, value: f64) -> f64 {
        let (low, high) = self.values;
        self.at.0 + (value / low).ln() / (high / low).ln() * (self.at.1 - self.at.0)
    }

    /// Returns the round numbers on the axis: the powers of ten, and if these are few, 2 and 5 times them.
    fn ticks(self) -> Vec<f64> {
        let (low, high) = self.values;
        let steps: &[f64] = if high / low > 150.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let powers = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
        let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
        all.filter(|tick| (low * 0.999..=high * 1.001).contains(tick)).collect()
    }
}

/// Returns the greatest of 1, 2 and 5 times a power of ten that does not exceed a value.
fn round_below(value: f64) -> f64 {
    let power = 10_f64.powf((value * 1.000_001).log10().floor());
    let step = [5.0, 2.0].into_iter().find(|step| step * power <= value * 1.000_001);
    step.unwrap_or(1.0) * power
}

/// Returns a plot of a curve, with a line for each database.
fn svg(first: &Curve, lines: &[(&str, &Curve)]) -> String {
    let (left, right, top, bottom) = FRAME;
    let x = Axis::between(&first.points, (left, right));
    let figures = lines.iter().flat_map(|(_, curve)| &curve.points).map(|(_, figure)| *figure);
    let y = Axis::around(figures, (bottom, top));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\">\n<title>{0} against {1}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"b\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n<text x=\"12\" y=\"20\">{0}</text>\n",
        first.figure, first.size,
    );
    for tick in x.ticks() {
        let at = x.coordinate(tick);
        text(&mut out, "m", (at, bottom + 17.0), &number(tick));
        line(&mut out, (at, top), (at, bottom));
    }
    for tick in y.ticks() {
        let at = y.coordinate(tick);
        text(&mut out, "e", (left - 6.0, at + 4.0), &number(tick));
        line(&mut out, (left, at), (right, at));
    }
    text(&mut out, "m", (f64::midpoint(left, right), HEIGHT - 10.0), first.size);
    for (index, (database, curve)) in lines.iter().enumerate() {
        let points: Vec<_> =
            curve.points.iter().map(|(n, figure)| (x.coordinate(*n), y.coordinate(*figure))).collect();
        series(&mut out, index, &points);
        let at = left + 175.0 * index as f64;
        let _ = writeln!(out, "<circle class=\"f{index}\" cx=\"{:.1}\" cy=\"36\" r=\"4\"/>", at + 4.0);
        text(&mut out, "k", (at + 13.0, 40.0), &format!("{database}, exponent {:.2}", curve.exponent()));
    }
    out + "</svg>\n"
}

fn series(out: &mut String, index: usize, points: &[(f64, f64)]) {
    let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    // Writing to a String does not fail.
    let _ = writeln!(out, "<polyline class=\"l s{index}\" points=\"{}\"/>", path.join(" "));
    for (x, y) in points {
        let _ = writeln!(out, "<circle class=\"f{index}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
    }
}

fn text(out: &mut String, class: &str, (x, y): (f64, f64), text: &str) {
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

fn line(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(out, "<path class=\"g\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>");
}

/// Formats a tick: a whole number with separators of thousands, or as few decimals as it needs.
fn number(value: f64) -> String {
    if value < 1.0 {
        let decimals = (-value.log10() + 0.001).ceil().max(0.0) as usize;
        return format!("{value:.decimals$}");
    }
    let digits = format!("{value:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(values: &[f64]) -> Axis {
        Axis::around(values.iter().copied(), (200.0, 0.0))
    }

    #[test]
    fn an_axis_begins_and_ends_at_round_numbers_and_has_a_decade() {
        for (values, low, high) in [
            (&[3.0, 70.0][..], 2.0, 100.0),
            (&[300.0, 310.0], 50.0, 500.0),
            (&[0.6, 9.0], 0.5, 10.0),
            (&[1.0, 100.0], 1.0, 100.0),
        ] {
            let axis = axis(values);
            assert!(
                (axis.values.0 / low - 1.0).abs() < 1e-6 && (axis.values.1 / high - 1.0).abs() < 1e-6,
                "{axis:?}"
            );
        }
    }

    #[test]
    fn coordinates_are_logarithmic() {
        let axis = axis(&[1.0, 100.0]);
        assert_eq!([1.0, 10.0, 100.0].map(|value| axis.coordinate(value).round()), [200.0, 100.0, 0.0]);
    }

    #[test]
    fn ticks_are_round_numbers_on_the_axis() {
        let text = |values: &[f64]| axis(values).ticks().into_iter().map(number).collect::<Vec<_>>();
        assert_eq!(text(&[0.3, 4.0]), ["0.2", "0.5", "1", "2", "5"]);
        assert_eq!(text(&[1.0, 1e6]), ["1", "10", "100", "1,000", "10,000", "100,000", "1,000,000"]);
    }

    #[test]
    fn a_curve_without_growth_is_not_plotted() {
        let folder = tempfile::tempdir().unwrap();
        let curve = |file, figure| {
            let mut curve = Curve::new(file, "figure", "rooms");
            [(1, 5.0), (10, figure)].iter().for_each(|(n, figure)| curve.add(*n, *figure));
            curve
        };
        let measured =
            [vec![curve("one", -1.0), curve("none", 0.0)], vec![curve("one", 6.0), curve("none", 0.0)]];
        write(folder.path(), &["SQLite", "PostgreSQL"], &measured).unwrap();
        let plot = fs::read_to_string(folder.path().join("one.svg")).unwrap();
        assert!(plot.contains("PostgreSQL") && !plot.contains("SQLite"), "{plot}");
        assert!(!folder.path().join("none.svg").exists());
    }

    #[test]
    fn a_plot_has_a_line_for_each_database_and_is_small() {
        let mut curve = Curve::new("file", "CPU µs a message", "rooms");
        [(1, 300.0), (100, 310.0), (10_000, 320.0)].iter().for_each(|(n, figure)| curve.add(*n, *figure));
        let plot = svg(&curve, &[("SQLite", &curve), ("PostgreSQL", &curve)]);
        assert_eq!(plot.matches("<polyline").count(), 2);
        assert!(plot.contains("SQLite, exponent 0.01") && plot.contains(">10,000<"), "{plot}");
        assert!(plot.len() < 4096, "{}", plot.len());
    }
}

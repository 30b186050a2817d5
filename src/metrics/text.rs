//! Writes Prometheus' text format (version 0.0.4) and OpenMetrics (version 1.0.0).
//!
//! OpenMetrics names the family of a counter without `_total`, so no other family may have that name.

use std::{
    fmt::{Display, Write as _},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    counter::Counter,
    histogram::Histogram,
    labelled::{Labelled, Labels},
};

/// The format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

/// The text of the response to a scrape.
#[derive(Debug)]
pub(super) struct Text {
    format: Format,
    text: String,
}

impl Text {
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.line(format_args!("# EOF"));
        }
        self.text
    }

    /// Writes a counter.
    pub(super) fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.head(name, "counter", help);
        self.sample(name, "", counter.get());
    }

    /// Writes a counter for each combination of labels.
    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        counters: &Labelled<AtomicU64, N>,
    ) {
        self.head(name, "counter", help);
        counters.fill_preset();
        for (labels, value) in &*counters.values.read() {
            self.sample(name, &format_labels(&counters.names, labels), value.load(Ordering::Relaxed));
        }
    }

    /// Writes a counter whose value comes from elsewhere.
    pub(super) fn total(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.sample(name, "", value);
    }

    /// Writes a gauge.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, "", value);
    }

    /// Writes a gauge for each value of a label.
    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: [(&'static str, usize); N],
    ) {
        self.head(name, "gauge", help);
        for (labelled, value) in values {
            self.sample(name, &format!("{label}=\"{labelled}\""), value);
        }
    }

    /// Writes a gauge for each pair of values of two labels.
    pub(super) fn gauges2(
        &mut self,
        name: &str,
        help: &str,
        names: Labels<2>,
        values: impl Iterator<Item = (Labels<2>, usize)>,
    ) {
        self.head(name, "gauge", help);
        for (labels, value) in values {
            self.sample(name, &format_labels(&names, &labels), value);
        }
    }

    /// Writes constants as the labels of a gauge that is 1.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &str) {
        self.head(name, "gauge", help);
        self.sample(name, labels, 1);
    }

    /// Writes a histogram.
    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        self.buckets(name, "", histogram);
    }

    /// Writes a histogram for each combination of labels.
    pub(super) fn histograms<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        histograms: &Labelled<Histogram, N>,
    ) {
        self.head(name, "histogram", help);
        for (labels, histogram) in &*histograms.values.read() {
            self.buckets(name, &format_labels(&histograms.names, labels), histogram);
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let family = match self.format {
            Format::OpenMetrics if kind == "counter" => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        self.line(format_args!("# HELP {family} {help}"));
        self.line(format_args!("# TYPE {family} {kind}"));
    }

    fn buckets(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (bound, sum) in histogram.cumulative() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| self.bound(bound));
            self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {sum}"));
            count = sum;
        }
        self.sample(&format!("{name}_sum"), labels, histogram.sum());
        self.sample(&format!("{name}_count"), labels, count);
    }

    fn bound(&self, bound: f64) -> String {
        match self.format {
            Format::Prometheus => bound.to_string(),
            // Bounds are floats in OpenMetrics, so 1 is written as 1.0.
            Format::OpenMetrics => format!("{bound:?}"),
        }
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{labels}}} {value}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// Formats labels. No value needs escaping, since all are literals of the program.
fn format_labels<const N: usize>(names: &Labels<N>, labels: &Labels<N>) -> String {
    let pairs: Vec<String> =
        names.iter().zip(labels).map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    pairs.join(",")
}

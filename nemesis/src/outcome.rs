//! The outcome of one or several rounds, and its row of the table.

use std::{collections::BTreeMap, time::Duration};

/// The table's headings.
pub(crate) const HEADINGS: [&str; 9] = [
    "fault",
    "database",
    "trials",
    "messages",
    "violations",
    "longest recovery",
    "slowest answer",
    "seconds",
    "notes",
];

/// The most violations that are printed in full; the table has their number.
const PRINTED_VIOLATIONS: usize = 10;

/// The outcome of one or several rounds.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    /// The longest time from healing until all clients were served again.
    pub(crate) recovery: Duration,
    /// The longest time that a send waited for its answer or its error.
    pub(crate) slowest: Duration,
    /// The number of messages in the logs.
    pub(crate) messages: usize,
    /// The number of refused calls by reason.
    pub(crate) refusals: BTreeMap<String, usize>,
    counts: BTreeMap<&'static str, usize>,
    maxima: BTreeMap<&'static str, f64>,
}

impl Outcome {
    /// Adds to a count in the table's notes.
    pub(crate) fn count(&mut self, what: &'static str, more: usize) {
        *self.counts.entry(what).or_insert(0) += more;
    }

    /// Records a figure; the table's notes show the highest.
    pub(crate) fn maximum(&mut self, what: &'static str, figure: f64) {
        let maximum = self.maxima.entry(what).or_insert(figure);
        *maximum = maximum.max(figure);
    }

    /// Adds the outcome of another round.
    pub(crate) fn add(&mut self, other: Self) {
        self.violations.extend(other.violations);
        self.recovery = self.recovery.max(other.recovery);
        self.slowest = self.slowest.max(other.slowest);
        self.messages += other.messages;
        for (reason, count) in other.refusals {
            *self.refusals.entry(reason).or_insert(0) += count;
        }
        other.counts.into_iter().for_each(|(what, count)| self.count(what, count));
        other.maxima.into_iter().for_each(|(what, figure)| self.maximum(what, figure));
    }

    /// Returns the first violations and, if there are any, the refusals of the round; nothing without violations.
    pub(crate) fn explain(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.violations.iter().take(PRINTED_VIOLATIONS).cloned().collect();
        if !lines.is_empty() {
            lines.extend(self.refusals.iter().map(|(reason, count)| format!("{count} × {reason}")));
        }
        lines
    }

    /// Returns the cells of its row from the column "messages" on.
    pub(crate) fn cells(&self, took: Duration) -> [String; 6] {
        let counts = self.counts.iter().map(|(what, count)| format!("{count} {what}"));
        let maxima = self.maxima.iter().map(|(what, figure)| format!("at most {figure:.2} {what}"));
        [
            self.messages.to_string(),
            self.violations.len().to_string(),
            format!("{:.2} s", self.recovery.as_secs_f64()),
            format!("{:.2} s", self.slowest.as_secs_f64()),
            took.as_secs().to_string(),
            counts.chain(maxima).collect::<Vec<_>>().join("; "),
        ]
    }
}

//! What came of a round, or of several, and its row of the table.

use std::{collections::BTreeMap, time::Duration};

/// The table's head.
pub(crate) const HEAD: [&str; 9] = [
    "fault",
    "database",
    "trials",
    "messages",
    "violations",
    "worst recovery",
    "slowest answer",
    "seconds",
    "besides",
];

/// So many violations are told beside the table.
const TOLD: usize = 10;

/// What came of a round, or of several.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    /// The longest that it took until everybody went on.
    pub(crate) recovery: Duration,
    /// The longest that a send waited for its answer or its error.
    pub(crate) slowest: Duration,
    /// How many messages are in the logs.
    pub(crate) messages: usize,
    /// How often calls were refused, by the reason.
    pub(crate) refusals: BTreeMap<String, usize>,
    counts: BTreeMap<&'static str, usize>,
    worst: BTreeMap<&'static str, f64>,
}

impl Outcome {
    /// Counts something that the table shows.
    pub(crate) fn count(&mut self, what: &'static str, more: usize) {
        *self.counts.entry(what).or_insert(0) += more;
    }

    /// Notes a figure of which the table shows the worst.
    pub(crate) fn at_most(&mut self, what: &'static str, figure: f64) {
        let worst = self.worst.entry(what).or_insert(figure);
        *worst = worst.max(figure);
    }

    /// Adds what came of another round.
    pub(crate) fn add(&mut self, other: Self) {
        self.violations.extend(other.violations);
        self.recovery = self.recovery.max(other.recovery);
        self.slowest = self.slowest.max(other.slowest);
        self.messages += other.messages;
        for (reason, count) in other.refusals {
            *self.refusals.entry(reason).or_insert(0) += count;
        }
        other.counts.into_iter().for_each(|(what, count)| self.count(what, count));
        other.worst.into_iter().for_each(|(what, figure)| self.at_most(what, figure));
    }

    /// Returns what there is to say of violations: the first of them, and what was refused meanwhile.
    pub(crate) fn explain(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.violations.iter().take(TOLD).cloned().collect();
        if !lines.is_empty() {
            lines.extend(self.refusals.iter().map(|(reason, count)| format!("{count} × {reason}")));
        }
        lines
    }

    /// Returns the cells of its row, after those that name it.
    pub(crate) fn cells(&self, took: Duration) -> [String; 6] {
        let counts = self.counts.iter().map(|(what, count)| format!("{count} {what}"));
        let worst = self.worst.iter().map(|(what, figure)| format!("at most {figure:.2} {what}"));
        [
            self.messages.to_string(),
            self.violations.len().to_string(),
            format!("{:.2} s", self.recovery.as_secs_f64()),
            format!("{:.2} s", self.slowest.as_secs_f64()),
            took.as_secs().to_string(),
            counts.chain(worst).collect::<Vec<_>>().join("; "),
        ]
    }
}

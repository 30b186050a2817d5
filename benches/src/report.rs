//! The table: a figure, what the plain server needs for the same, what is to be reached, and whether it is.

use std::io::{self, Write as _};

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    value: f64,
    plain: Option<f64>,
    target: Option<Target>,
}

/// The figure that must be reached, and the one that is aimed at.
#[derive(Clone, Copy, Debug)]
enum Target {
    AtMost(f64, f64),
    AtLeast(f64, f64),
}

impl Row {
    /// Returns a line that only tells.
    pub(crate) fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, plain: None, target: None }
    }

    /// Puts the plain server's figure beside it.
    pub(crate) const fn beside(mut self, plain: f64) -> Self {
        self.plain = Some(plain);
        self
    }

    /// Says that less is better.
    pub(crate) const fn at_most(mut self, floor: f64, goal: f64) -> Self {
        self.target = Some(Target::AtMost(floor, goal));
        self
    }

    /// Says that more is better.
    pub(crate) const fn at_least(mut self, floor: f64, goal: f64) -> Self {
        self.target = Some(Target::AtLeast(floor, goal));
        self
    }
}

/// Prints lines as they are measured.
#[derive(Debug)]
pub(crate) struct Report;

impl Report {
    /// Begins with the facts about the machine.
    pub(crate) fn start(facts: &str) -> Self {
        print(&format!(
            "{facts}\nPlain: tonic or axum as they come, without tokens and storage, in the same run."
        ));
        Self
    }

    /// Begins a table.
    pub(crate) fn heading(&self, database: &str) {
        print(&format!(
            "\n{:<64} {:>10} {:>10} {:>10} {:>10}  reached",
            format!("with {database}"),
            "measured",
            "plain",
            "floor",
            "goal",
        ));
    }

    /// Prints a line.
    pub(crate) fn row(&self, row: &Row) {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), digits);
        let (floor, goal, reached) = match row.target {
            None => (None, None, "-"),
            Some(Target::AtMost(floor, goal)) => {
                (Some(floor), Some(goal), verdict(row.value <= floor, row.value <= goal))
            }
            Some(Target::AtLeast(floor, goal)) => {
                (Some(floor), Some(goal), verdict(row.value >= floor, row.value >= goal))
            }
        };
        print(&format!(
            "{:<64} {:>10} {:>10} {:>10} {:>10}  {reached}",
            row.name,
            digits(row.value),
            number(row.plain),
            number(floor),
            number(goal),
        ));
    }
}

const fn verdict(floor: bool, goal: bool) -> &'static str {
    match (floor, goal) {
        (_, true) => "goal",
        (true, false) => "floor",
        (false, false) => "MISSED",
    }
}

/// Writes a number with three digits that say something.
fn digits(value: f64) -> String {
    match value.abs() {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

fn print(line: &str) {
    // A reader that has gone wants no more lines.
    let _ = writeln!(io::stdout(), "{line}");
}

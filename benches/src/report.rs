//! The table: each figure with each database, the baseline's figure, the floor and the goal, and whether they are met.

use std::io::{self, Write as _};

/// One measured figure.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    value: f64,
    baseline: Option<f64>,
    target: Option<Target>,
}

/// The floor, which must be met, and the goal.
#[derive(Clone, Copy, Debug)]
enum Target {
    AtMost(f64, f64),
    AtLeast(f64, f64),
}

impl Row {
    /// Makes a row with a figure that is not judged.
    pub(crate) fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, baseline: None, target: None }
    }

    /// Adds the figure in brackets: the baseline's, or the one that the row's name has in brackets.
    pub(crate) const fn beside(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// Judges the figure: less is better.
    pub(crate) const fn at_most(mut self, floor: f64, goal: f64) -> Self {
        self.target = Some(Target::AtMost(floor, goal));
        self
    }

    /// Judges the figure: more is better.
    pub(crate) const fn at_least(mut self, floor: f64, goal: f64) -> Self {
        self.target = Some(Target::AtLeast(floor, goal));
        self
    }

    const fn bounds(&self) -> Option<(f64, f64)> {
        match self.target {
            None => None,
            Some(Target::AtMost(floor, goal) | Target::AtLeast(floor, goal)) => Some((floor, goal)),
        }
    }

    /// Returns whether the figure is judged and meets the floor.
    #[cfg(test)]
    pub(crate) fn meets_floor(&self) -> bool {
        self.verdict().starts_with("meets")
    }

    const fn verdict(&self) -> &'static str {
        let (floor, goal) = match self.target {
            None => return "",
            Some(Target::AtMost(floor, goal)) => (self.value <= floor, self.value <= goal),
            Some(Target::AtLeast(floor, goal)) => (self.value >= floor, self.value >= goal),
        };
        match (floor, goal) {
            (_, true) => "meets goal",
            (true, false) => "meets",
            (false, false) => "MISSES",
        }
    }

    /// Formats the figure, the one in brackets, and the verdict.
    fn cell(&self) -> String {
        let baseline = self.baseline.map(|figure| format!("({})", digits(figure))).unwrap_or_default();
        format!("{:>7} {baseline:<8} {:<10}", digits(self.value), self.verdict())
    }
}

/// Prints the rows of each case once it was measured with every database.
#[derive(Debug)]
pub(crate) struct Report {
    databases: usize,
}

impl Report {
    /// Prints the facts about the machine and the table's headings.
    pub(crate) fn start(facts: &str, databases: &[&str]) -> Self {
        print(&format!(
            "{facts}\nIn brackets: the plain tonic or axum server in the same run, or the figure that the row names in \
             brackets.\n",
        ));
        let names: String = databases.iter().map(|name| format!(" {name:<27}")).collect();
        print(&format!("{:<72}{names} {:>8} {:>8}", "", "floor", "goal"));
        Self { databases: databases.len() }
    }

    /// Prints the rows of a case: `measured` has the same rows in the same order for each database.
    pub(crate) fn rows(&self, measured: &[Vec<Row>]) {
        for line in lines(measured, self.databases) {
            print(&line);
        }
    }
}

/// Formats the rows with the databases side by side. Where a floor depends on the measurement, each database's is given.
fn lines(measured: &[Vec<Row>], databases: usize) -> Vec<String> {
    let count = measured.iter().map(Vec::len).max().unwrap_or(0);
    let line = |index: usize| {
        let rows: Vec<_> = measured.iter().filter_map(|rows| rows.get(index)).collect();
        let name = rows.first().map_or("", |row| row.name.as_str());
        let cells: String = (0..databases)
            .map(|database| {
                let row = measured.get(database).and_then(|rows| rows.get(index));
                format!(" {:<27}", row.map_or_else(|| format!("{:>7}", "-"), |row| row.cell()))
            })
            .collect();
        let bound = |of: fn((f64, f64)) -> f64| {
            let mut bounds: Vec<_> = rows.iter().filter_map(|row| row.bounds().map(of)).map(digits).collect();
            bounds.dedup();
            if bounds.is_empty() { "-".to_owned() } else { bounds.join("/") }
        };
        format!("{name:<72}{cells} {:>8} {:>8}", bound(|(floor, _)| floor), bound(|(_, goal)| goal))
    };
    (0..count).map(line).collect()
}

/// Formats a number with about three significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Prints a line.
pub(crate) fn print(line: &str) {
    // A reader that has closed the pipe wants no more lines.
    let _ = writeln!(io::stdout(), "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_figure_and_a_verdict_for_each_database() {
        let rate = |value| vec![Row::new("messages a second", value).at_least(20e3, 50e3)];
        let [line] = &lines(&[rate(55e3), rate(19e3)], 2)[..] else { panic!("one line") };
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            words,
            ["messages", "a", "second", "55000", "meets", "goal", "19000", "MISSES", "20000", "50000"]
        );
    }

    #[test]
    fn a_figure_that_does_not_depend_on_the_database_is_measured_with_the_first() {
        let memory = vec![Row::new("KB a stream", 3.1).beside(7.0).at_most(4.0, 2.8)];
        let [line] = &lines(&[memory], 2)[..] else { panic!("one line") };
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["KB", "a", "stream", "3.10", "(7.00)", "meets", "-", "4.00", "2.80"]);
    }

    #[test]
    fn a_negative_figure_keeps_its_sign() {
        assert_eq!([-0.5, -2.0].map(digits), ["-0.500", "-2.00"]);
    }

    #[test]
    fn floors_that_differ_are_given_for_each_database() {
        let answer = |value, floor| vec![Row::new("p99", value).at_most(floor, 1.0)];
        let [line] = &lines(&[answer(2.0, 50.0), answer(2.0, 60.0)], 2)[..] else { panic!("one line") };
        assert!(line.contains("50.0/60.0"), "{line}");
    }
}

//! The table: a figure with each database, what the plain server needs for the same, what is to be reached, and
//! whether it is.

use std::io::{self, Write as _};

/// One measured figure.
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
    /// Returns a figure that only tells.
    pub(crate) fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, plain: None, target: None }
    }

    /// Puts the figure of the plain server, or of what else the name says, beside it.
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

    const fn bounds(&self) -> Option<(f64, f64)> {
        match self.target {
            None => None,
            Some(Target::AtMost(floor, goal) | Target::AtLeast(floor, goal)) => Some((floor, goal)),
        }
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

    /// Writes the figure, the plain one in brackets, and the verdict.
    fn cell(&self) -> String {
        let plain = self.plain.map(|plain| format!("({})", digits(plain))).unwrap_or_default();
        format!("{:>7} {plain:<8} {:<10}", digits(self.value), self.verdict())
    }
}

/// Prints a case's lines once it was measured with every database.
#[derive(Debug)]
pub(crate) struct Report {
    databases: usize,
}

impl Report {
    /// Begins the table, with the facts about the machine above it.
    pub(crate) fn start(facts: &str, databases: &[&str]) -> Self {
        print(&format!(
            "{facts}\nIn brackets: tonic or axum as they come, without tokens and storage, in the same run; or what the \
             line names.\n",
        ));
        let names: String = databases.iter().map(|name| format!(" {name:<27}")).collect();
        print(&format!("{:<72}{names} {:>8} {:>8}", "", "floor", "goal"));
        Self { databases: databases.len() }
    }

    /// Prints the lines of a case: `measured` has its rows of each database, the same ones in the same order.
    pub(crate) fn rows(&self, measured: &[Vec<Row>]) {
        for line in lines(measured, self.databases) {
            print(&line);
        }
    }
}

/// Puts the rows of each database side by side. A floor that depends on what was measured before is given for each.
fn lines(measured: &[Vec<Row>], databases: usize) -> Vec<String> {
    let count = measured.iter().map(Vec::len).max().unwrap_or(0);
    let line = |place: usize| {
        let rows: Vec<_> = measured.iter().filter_map(|rows| rows.get(place)).collect();
        let name = rows.first().map_or("", |row| row.name.as_str());
        let cells: String = (0..databases)
            .map(|database| {
                let row = measured.get(database).and_then(|rows| rows.get(place));
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
    let _ = writeln!(io::stdout(), "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_stand_in_one_line_each_with_its_verdict() {
        let rate = |value| vec![Row::new("messages a second", value).at_least(20e3, 50e3)];
        let [line] = &lines(&[rate(55e3), rate(19e3)], 2)[..] else { panic!("one line") };
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            words,
            ["messages", "a", "second", "55000", "meets", "goal", "19000", "MISSES", "20000", "50000"]
        );
    }

    #[test]
    fn what_no_database_changes_is_measured_with_the_first() {
        let memory = vec![Row::new("KB a stream", 3.1).beside(7.0).at_most(4.0, 2.8)];
        let [line] = &lines(&[memory], 2)[..] else { panic!("one line") };
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["KB", "a", "stream", "3.10", "(7.00)", "meets", "-", "4.00", "2.80"]);
    }

    #[test]
    fn a_floor_of_its_own_is_given_for_each_database() {
        let answer = |value, floor| vec![Row::new("p99", value).at_most(floor, 1.0)];
        let [line] = &lines(&[answer(2.0, 50.0), answer(2.0, 60.0)], 2)[..] else { panic!("one line") };
        assert!(line.contains("50.0/60.0"), "{line}");
    }
}

//! Instructions by the name of their operation: the file that records them, and the comparison with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};

/// An operation may take more by this part of its recorded instructions.
const TOLERANCE: f64 = 0.1;
const TOO_MANY: &str = "TAKES OVER 10 % MORE";

/// How the file begins.
const HEADER: &str = "\
# The gateway's instructions in user mode, of one operation each. `.ci/run step instructions` counts them again with valgrind,
# and fails where an operation takes over 10 % more in two counts. `UPDATE_INSTRUCTIONS=1 .ci/run step instructions` writes
# this file.
#
# The figures are those of one machine, for the profile release, the compiler of rust-toolchain.toml, and Debian 12 on x86-64
# with AVX2. valgrind offers a program AVX2 and not newer instructions. Runs on a busy machine differ by 1 to 6 %.
";

/// Instructions by name.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Adds a figure, or replaces it.
    ///
    /// # Errors
    /// If it is less than one instruction: then something was not counted.
    pub(super) fn add(&mut self, name: &str, instructions: f64) -> Result<()> {
        ensure!(instructions.is_finite() && instructions >= 1.0, "{name} took {instructions} instructions");
        self.0.insert(name.to_owned(), instructions);
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Returns the names of those that take too many, beside recorded ones.
    pub(super) fn exceeding(&self, recorded: &Self) -> Vec<String> {
        let exceeds = |name: &&String| matches!(verdict(recorded.get(name), self.get(name)), (TOO_MANY, _));
        self.0.keys().filter(exceeds).cloned().collect()
    }

    /// Reads a file of lines as `livez = 60_000`, with comments.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut figures = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, number) = line.split_once('=').with_context(|| format!("no figure: {line}"))?;
            let number: u32 = number.trim().replace('_', "").parse().with_context(|| line.to_owned())?;
            ensure!(number > 0, "nothing takes no instructions: {line}");
            let earlier = figures.0.insert(name.trim().to_owned(), number.into());
            ensure!(earlier.is_none(), "a second figure: {line}");
        }
        Ok(figures)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{HEADER}\n{self}");
        fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Compares measured figures with recorded ones. Returns the lines of a table, and what is wrong.
    pub(super) fn compare(&self, recorded: &Self) -> (Vec<String>, Vec<String>) {
        let names: BTreeSet<_> = self.0.keys().chain(recorded.0.keys()).collect();
        let mut lines =
            vec![format!("{:<20} {:>12} {:>12} {:>7}", "instructions", "recorded", "measured", "ratio")];
        let mut failed = Vec::new();
        for name in names {
            let (before, now) = (recorded.get(name), self.get(name));
            let (verdict, fails) = verdict(before, now);
            let cell =
                |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.0}"));
            let ratio = before
                .zip(now)
                .map_or_else(|| "-".to_owned(), |(before, now)| format!("{:.3}", now / before));
            lines.push(format!("{name:<20} {:>12} {:>12} {ratio:>7}  {verdict}", cell(before), cell(now)));
            if fails {
                failed.push(format!("{name} {verdict}"));
            }
        }
        (lines, failed)
    }
}

/// Judges a figure; returns whether it fails, too.
fn verdict(recorded: Option<f64>, measured: Option<f64>) -> (&'static str, bool) {
    match recorded.zip(measured).map(|(recorded, measured)| measured / recorded) {
        None if recorded.is_some() => ("IS NOT MEASURED", true),
        None => ("IS NOT RECORDED", true),
        Some(ratio) if ratio < 1.0 - TOLERANCE => {
            ("should be recorded again: it takes over 10 % less", false)
        }
        Some(ratio) if ratio <= 1.0 + TOLERANCE => ("", false),
        // Also what is not a number.
        Some(_) => (TOO_MANY, true),
    }
}

/// Writes one line for each figure, in groups of three digits.
impl Display for Figures {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, figure) in &self.0 {
            writeln!(f, "{name} = {}", grouped(&format!("{figure:.0}")))?;
        }
        Ok(())
    }
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(text: &str) -> Figures {
        Figures::parse(text).unwrap()
    }

    /// Compares the figure `call` with a recorded 1,000; returns its line, and whether it fails.
    fn compared(measured: f64) -> (String, bool) {
        let now = Figures([("call".to_owned(), measured)].into());
        let (lines, failed) = now.compare(&figures("call = 1_000"));
        (lines.concat(), !failed.is_empty())
    }

    #[test]
    fn a_figure_fails_if_it_is_over_a_tenth_above_the_recorded_one() {
        assert!(!compared(1_100.0).1);
        assert!(compared(1_101.0).1);
        assert!(compared(f64::INFINITY).1 && compared(f64::NAN).1);
    }

    #[test]
    fn a_figure_that_is_over_a_tenth_below_should_be_recorded_again_and_does_not_fail() {
        let again = |measured| compared(measured).0.contains("should be recorded again");
        assert!(!again(1_101.0) && !again(900.0) && again(899.0));
        assert!(!compared(899.0).1);
    }

    #[test]
    fn a_figure_on_one_side_only_fails() {
        let (lines, failed) = figures("one = 1\nboth = 2").compare(&figures("both = 2\nother = 3"));
        assert_eq!(failed, ["one IS NOT RECORDED", "other IS NOT MEASURED"]);
        assert_eq!(lines.len(), 4);
        assert!(!Figures::default().compare(&figures("call = 1_000")).1.is_empty());
    }

    #[test]
    fn only_what_takes_too_many_is_counted_again_and_the_second_count_is_judged() {
        let recorded = figures("high = 1_000\nlevel = 1_000\nlow = 1_000\nnot-measured = 1_000");
        let mut measured = figures("high = 1_101\nlevel = 1_100\nlow = 5\nnot-recorded = 1_000");
        assert_eq!(measured.exceeding(&recorded), ["high"]);
        measured.add("high", 1_200.0).unwrap();
        assert!(measured.compare(&recorded).1.contains(&"high TAKES OVER 10 % MORE".to_owned()));
        measured.add("high", 1_050.0).unwrap();
        assert_eq!(measured.exceeding(&recorded), [""; 0]);
        assert_eq!(
            measured.compare(&recorded).1,
            ["not-measured IS NOT MEASURED", "not-recorded IS NOT RECORDED"]
        );
    }

    #[test]
    fn a_figure_that_is_not_positive_is_an_error() {
        for instructions in [0.0, 0.4, -6_000.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Figures::default().add("call", instructions).is_err(), "{instructions}");
        }
        assert!(Figures::default().add("call", 1.0).is_ok());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("figures.toml");
        let mut written = Figures::default();
        written.add("call", 1_234_567.4).unwrap();
        written.add("delivery", 890.0).unwrap();
        written.write(&file).unwrap();
        assert!(fs::read_to_string(&file).unwrap().ends_with("\n\ncall = 1_234_567\ndelivery = 890\n"));
        assert_eq!(Figures::read(&file).unwrap().0, figures("call = 1_234_567\ndelivery = 890").0);
    }

    #[test]
    fn a_file_that_holds_something_else_is_an_error() {
        for text in ["call", "call =", "call = many", "call = 0", "call = -5", "call = 1\ncall = 2"] {
            assert!(Figures::parse(text).is_err(), "{text}");
        }
        assert!(Figures::read(Path::new("no/such/file.toml")).is_err());
    }

    #[test]
    fn the_recorded_figures_can_be_read_and_have_the_header() {
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.toml");
        assert!(fs::read_to_string(&recorded).unwrap().starts_with(&format!("{HEADER}\n")));
        assert!(Figures::read(&recorded).unwrap().0.contains_key("delivery"));
    }
}

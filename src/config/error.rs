//! The errors in settings, reported together.

use std::{fmt, path::Path};

/// Where a value is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Defaults,
    File(String),
    Environment,
    Flags,
}

impl Origin {
    pub(super) fn file(path: &Path) -> Self {
        Self::File(path.display().to_string())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("the defaults"),
            Self::File(path) => f.write_str(path),
            Self::Environment => f.write_str("the environment"),
            Self::Flags => f.write_str("the flags"),
        }
    }
}

/// Everything that is wrong with the settings: which setting, where it is set, and what to do.
#[derive(Debug, Default)]
pub struct ConfigError {
    problems: Vec<String>,
    /// How many of them may pass by themselves, such as a clock that is not set yet.
    temporary: usize,
}

impl ConfigError {
    /// Returns the program's exit code (sysexits.h): 75 (`EX_TEMPFAIL`) where every problem may pass by itself, else 64
    /// (`EX_USAGE`), after which a supervisor need not restart it.
    pub const fn exit_code(&self) -> u8 {
        if self.temporary == self.problems.len() { 75 } else { 64 }
    }

    /// Adds a problem of the setting `name`. It never repeats a secret value.
    pub(super) fn add(&mut self, name: &str, origin: &Origin, problem: impl fmt::Display) {
        self.problems.push(format!("{name} in {origin}: {problem}"));
    }

    /// Adds a problem that does not belong to one setting.
    pub(super) fn add_sentence(&mut self, sentence: String) {
        self.problems.push(sentence);
    }

    /// Adds a problem that may pass by itself.
    pub(super) fn add_temporary(&mut self, sentence: String) {
        self.problems.push(sentence);
        self.temporary += 1;
    }

    /// Returns the problems, a sentence each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Returns `value` if there was no problem.
    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.problems.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

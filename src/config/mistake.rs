//! What can be wrong with settings, told all at once.

use std::{fmt, path::Path};

/// Where a value stands.
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

/// Everything that is wrong with the settings, each with its name, its place and its remedy.
#[derive(Debug, Default)]
pub struct ConfigError {
    mistakes: Vec<String>,
    /// How many of them pass by themselves, as a clock that is not set yet.
    passing: usize,
}

impl ConfigError {
    /// Returns the exit code of a program that was given these settings (sysexits.h): 75 (`EX_TEMPFAIL`) where all that is
    /// wrong may be right a moment later, else 64 (`EX_USAGE`), after which a supervisor need not try again.
    pub const fn exit_code(&self) -> u8 {
        if self.passing == self.mistakes.len() { 75 } else { 64 }
    }

    /// Adds what is wrong with `name`. The problem never repeats a secret's value.
    pub(super) fn add(&mut self, name: &str, origin: &Origin, problem: impl fmt::Display) {
        self.mistakes.push(format!("{name} in {origin}: {problem}"));
    }

    /// Adds what is wrong elsewhere than with one setting.
    pub(super) fn add_sentence(&mut self, sentence: String) {
        self.mistakes.push(sentence);
    }

    /// Adds what is wrong now and passes by itself.
    pub(super) fn add_passing(&mut self, sentence: String) {
        self.mistakes.push(sentence);
        self.passing += 1;
    }

    /// Returns the mistakes, a sentence each.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    /// Returns `value` where nothing was wrong.
    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.mistakes.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used")?;
        for mistake in &self.mistakes {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

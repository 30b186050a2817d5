//! The code that people type to enter a room.

use std::{fmt, sync::Arc};

/// The code that people type to enter a room: letters and digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ShortCode(Arc<str>);

impl ShortCode {
    /// The lengths of codes that can be set.
    pub const LENGTHS: std::ops::RangeInclusive<usize> = 4..=32;

    /// The characters of a code.
    pub const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    /// Accepts a code from the database or from a verified token.
    pub fn trusted(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

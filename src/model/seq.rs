//! The position of a message in its room's log.

use std::fmt;

/// A position in a room's log: the first message has 1, the next one 2, and so on without a gap. 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

impl Seq {
    /// The position before the first message.
    pub const ZERO: Self = Self(0);

    /// The position of the first message.
    pub const FIRST: Self = Self(1);

    /// The position after any message.
    pub const MAX: Self = Self(i64::MAX);

    /// Returns the next position.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns the position before this one.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0 - 1)
    }

    /// Returns the position `count` messages later.
    #[must_use]
    pub fn skip(self, count: usize) -> Self {
        Self(self.0.saturating_add(i64::try_from(count).unwrap_or(i64::MAX)))
    }

    /// Returns the position `count` messages earlier.
    #[must_use]
    pub fn back(self, count: usize) -> Self {
        Self(self.0.saturating_sub(i64::try_from(count).unwrap_or(i64::MAX)))
    }

    /// Returns how many messages this position is after `earlier`. Negative if it is before it.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

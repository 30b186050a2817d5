//! The kinds of token.

use std::fmt;

/// The three kinds of token. Each has its own `aud` claim and its own signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Says who a user is.
    User,
    /// Invites anyone to one room.
    Room,
    /// Lets one user act in one room.
    Chat,
}

impl TokenKind {
    /// Returns the `aud` claim of this kind.
    pub const fn audience(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Room => "room",
            Self::Chat => "chat",
        }
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.audience())
    }
}

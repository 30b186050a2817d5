//! User ids and roles.

/// Identifies an account. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub i64);

/// An account's role. `Admin` has no privileges yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The default.
    User,
    /// Taken over from the original's tables.
    Admin,
}

impl Role {
    /// Returns the name that the API and the database use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Admin => "ADMIN",
        }
    }

    /// Returns the role of this name. An unknown name is a `User`.
    pub fn from_name(name: &str) -> Self {
        if name == "ADMIN" { Self::Admin } else { Self::User }
    }
}

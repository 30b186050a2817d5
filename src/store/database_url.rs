//! The location of a database.

use std::path::PathBuf;

use super::postgres::PostgresUrl;

/// The location of a database.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file, created if it is missing.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(PostgresUrl),
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "Sqlite({})", path.display()),
            Self::Postgres(url) => write!(f, "Postgres({url})"),
        }
    }
}

use std::ops::Deref as _;

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

use crate::model::Error;

/// Why work inside the store did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A rule was broken: the caller hears of it as it is.
    Refused(Error),
    /// The database failed: the log hears of it, the caller a fixed sentence.
    Database(DbErr),
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// Says whether a unique index refused.
    pub(super) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))))
    }

    /// Logs a failure of the database, and returns what the caller hears.
    pub(super) fn report(self, what: &'static str) -> Error {
        let error = match self {
            Self::Refused(error) => return error,
            Self::Database(error) => error,
        };
        match classify(&error) {
            Class::Full => {
                tracing::error!(%error, what, "the disk is full");
                Error::StorageFull
            }
            Class::Unavailable => {
                tracing::warn!(%error, what, "the database cannot be reached");
                Error::DatabaseUnavailable
            }
            Class::Bug => {
                tracing::error!(%error, what, "the database refused a statement");
                Error::Internal
            }
        }
    }
}

enum Class {
    Full,
    Unavailable,
    Bug,
}

/// Sorts failures by what helps against them. The codes: SQLite's primary result codes (5 BUSY, 6 LOCKED, 10 IOERR,
/// 13 FULL, 14 CANTOPEN) and PostgreSQL's classes of SQLSTATE (08 connection, 53 resources, 57 operator, 25P03
/// and 55P03 and 57014 timeouts, 40 serialization).
fn classify(error: &DbErr) -> Class {
    let sqlx_error = match error {
        DbErr::ConnectionAcquire(_) => return Class::Unavailable,
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => error.deref(),
        _ => return Class::Bug,
    };
    match sqlx_error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            if let Ok(code) = code.parse::<u32>()
                && database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some()
            {
                return match code & 0xff {
                    13 => Class::Full,
                    5 | 6 | 10 | 14 => Class::Unavailable,
                    _ => Class::Bug,
                };
            }
            match code.as_ref() {
                "53100" => Class::Full,
                "25P03" | "55P03" | "57014" => Class::Unavailable,
                code if ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) => {
                    Class::Unavailable
                }
                _ => Class::Bug,
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Class::Unavailable,
        _ => Class::Bug,
    }
}

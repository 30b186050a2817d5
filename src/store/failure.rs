//! Why work inside the store fails, and what callers hear of it.

use std::ops::Deref as _;

use sea_orm::{
    DbErr, RuntimeErr, SqlErr,
    sqlx::{self, postgres::PgDatabaseError},
};

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

    /// Says whether the server takes no writes.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self, Self::Database(error) if code(error) == Some(READ_ONLY))
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

/// Sorts failures by what helps against them. What fails before there is a connection never says anything about a
/// statement: the database is away. Else the codes tell.
fn classify(error: &DbErr) -> Class {
    let sqlx_error = match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => return Class::Unavailable,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            error.deref()
        }
        _ => return Class::Bug,
    };
    match sqlx_error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            if database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                sqlite(code.parse().unwrap_or_default())
            } else {
                postgres(&code)
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

/// Sorts SQLite's primary result codes: 5 BUSY, 6 LOCKED, 7 NOMEM, 8 READONLY, 10 IOERR, 13 FULL, 14 CANTOPEN,
/// 15 PROTOCOL. (An extended code has the primary one in its lowest byte.)
const fn sqlite(code: u32) -> Class {
    match code & 0xff {
        13 => Class::Full,
        5 | 6 | 7 | 8 | 10 | 14 | 15 => Class::Unavailable,
        _ => Class::Bug,
    }
}

/// Sorts PostgreSQL's SQLSTATEs. What is about the server and not about the statement: the classes 08 (connection),
/// 28 (authorization), 40 (serialization), 53 (resources), 57 (operator) and 58 (the system below it), and of other classes
/// 25006 (it takes no writes), 25P03 and 55P03 (timeouts), 3D000 (the database is not there), 55006 (it is in use).
fn postgres(code: &str) -> Class {
    match code {
        "53100" => Class::Full,
        READ_ONLY | "25P03" | "3D000" | "55006" | "55P03" => Class::Unavailable,
        code if ["08", "28", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            Class::Unavailable
        }
        _ => Class::Bug,
    }
}

/// `read_only_sql_transaction`: a standby, or `default_transaction_read_only`.
const READ_ONLY: &str = "25006";

/// Says whether a statement failed since its role lacks a right (`insufficient_privilege`).
pub(super) fn is_refused(error: &DbErr) -> bool {
    code(error).is_some_and(|code| code == "42501")
}

/// Returns the SQLSTATE of a statement that PostgreSQL refused.
fn code(error: &DbErr) -> Option<&str> {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return None;
    };
    let sqlx::Error::Database(database) = error.deref() else { return None };
    database.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code)
}

/// Says whether a statement failed because its connection had ended before: `admin_shutdown`, `crash_shutdown`,
/// `idle_session_timeout`, the class of connections, or nobody at the other end.
pub(super) fn was_dead(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner))) = error
    else {
        return false;
    };
    matches!(inner.deref(), sqlx::Error::Io(_))
        || code(error)
            .is_some_and(|code| ["57P01", "57P02", "57P05"].contains(&code) || code.starts_with("08"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_the_server_are_no_bugs_of_a_statement() {
        for code in ["08006", "25006", "28P01", "28000", "3D000", "53300", "57P01", "57P03", "57P05", "58030"]
        {
            assert!(matches!(postgres(code), Class::Unavailable), "{code}");
        }
        for code in ["42P01", "42703", "22021", "23505"] {
            assert!(matches!(postgres(code), Class::Bug), "{code}");
        }
        // READONLY, and its extended code for a file that was moved away.
        for code in [8, 8 | (4 << 8)] {
            assert!(matches!(sqlite(code), Class::Unavailable), "{code}");
        }
        assert!(matches!(sqlite(1), Class::Bug));
    }

    #[test]
    fn what_fails_on_connecting_is_never_a_bug() {
        let odd = sqlx::Error::Configuration("odd".into());
        assert!(matches!(classify(&DbErr::Conn(RuntimeErr::SqlxError(odd.into()))), Class::Unavailable));
    }
}

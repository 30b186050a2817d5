//! Classifies failures inside the store, and chooses the error for the caller.

use std::ops::Deref as _;

use sea_orm::{
    DbErr, RuntimeErr, SqlErr,
    sqlx::{
        self,
        postgres::{PgDatabaseError, PgSeverity},
    },
};

use crate::model::Error;

/// The result of work inside the store.
pub(super) type DbResult<T> = std::result::Result<T, Failure>;

/// A failure of work inside the store.
#[derive(Debug)]
pub(super) enum Failure {
    /// A rule refuses the call. The caller gets this error.
    Refused(Error),
    /// The database failed. The cause is logged, and the caller gets a fixed sentence.
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
    /// Says whether a unique index refused the statement.
    pub(super) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))))
    }

    /// Says whether the statement failed because the server takes no writes.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self, Self::Database(error) if sqlstate(error) == Some(READ_ONLY_TRANSACTION))
    }

    /// Logs a failure of the database, and returns the error for the caller.
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

/// Classifies a failure by its remedy. A failure to get a connection is never the statement's fault: the database is
/// unavailable. Any other failure is classified by its code.
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

/// Classifies SQLite's primary result codes: 5 BUSY, 6 LOCKED, 7 NOMEM, 8 READONLY, 10 IOERR, 13 FULL, 14 CANTOPEN,
/// 15 PROTOCOL. (An extended code has the primary one in its lowest byte.)
const fn sqlite(code: u32) -> Class {
    match code & 0xff {
        13 => Class::Full,
        5 | 6 | 7 | 8 | 10 | 14 | 15 => Class::Unavailable,
        _ => Class::Bug,
    }
}

/// Classifies PostgreSQL's SQLSTATEs. These concern the server and not the statement: the classes 08 (connection),
/// 28 (authorization), 40 (serialization), 53 (resources), 57 (operator intervention) and 58 (system error), and the codes
/// 25006 (read-only transaction), 25P03 and 55P03 (timeouts), 3D000 (no such database), 55006 (object in use).
fn postgres(code: &str) -> Class {
    match code {
        "53100" => Class::Full,
        READ_ONLY_TRANSACTION | "25P03" | "3D000" | "55006" | "55P03" => Class::Unavailable,
        code if ["08", "28", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            Class::Unavailable
        }
        _ => Class::Bug,
    }
}

/// `read_only_sql_transaction`: the server is a standby, or `default_transaction_read_only` is on.
const READ_ONLY_TRANSACTION: &str = "25006";

/// `unique_violation`.
const UNIQUE_VIOLATION: &str = "23505";

/// `feature_not_supported`: "cached plan must not change result type".
const STALE_PLAN: &str = "0A000";

/// `invalid_sql_statement_name`.
const NO_SUCH_STATEMENT: &str = "26000";

/// Says whether a statement failed because the role lacks a privilege (`insufficient_privilege`).
pub(super) fn lacks_privilege(error: &DbErr) -> bool {
    sqlstate(error).is_some_and(|code| code == "42501")
}

/// Returns the SQLSTATE of a statement that PostgreSQL refused.
fn sqlstate(error: &DbErr) -> Option<&str> {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return None;
    };
    let sqlx::Error::Database(database) = error.deref() else { return None };
    database.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code)
}

/// Whether PostgreSQL refused a statement, and so has not executed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A unique index refused it.
    Duplicate,
    /// What the connection has prepared does not hold any more, as after a change of the schema.
    Stale,
    /// Something else refused it.
    Other,
    /// It may have been executed: the connection failed or ended.
    None,
}

/// Classifies the failure of a statement.
pub(super) fn refusal(error: &sqlx::Error) -> Refusal {
    let sqlx::Error::Database(database) = error else { return Refusal::None };
    match database.try_downcast_ref::<PgDatabaseError>() {
        Some(error) if error.severity() == PgSeverity::Error && error.code() == UNIQUE_VIOLATION => {
            Refusal::Duplicate
        }
        // A pooler reports the end of a connection as an error of class 08.
        Some(error) if error.severity() == PgSeverity::Error && !error.code().starts_with("08") => {
            match error.code() {
                STALE_PLAN | NO_SUCH_STATEMENT => Refusal::Stale,
                _ => Refusal::Other,
            }
        }
        _ => Refusal::None,
    }
}

/// Says whether a statement failed because its connection had already ended: `admin_shutdown`, `crash_shutdown`,
/// `idle_session_timeout`, class 08 (connection exception), or an I/O error.
pub(super) fn is_connection_dead(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner))) = error
    else {
        return false;
    };
    matches!(inner.deref(), sqlx::Error::Io(_))
        || sqlstate(error)
            .is_some_and(|code| ["57P01", "57P02", "57P05"].contains(&code) || code.starts_with("08"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_server_are_no_bugs() {
        for code in ["08006", "25006", "28P01", "28000", "3D000", "53300", "57P01", "57P03", "57P05", "58030"]
        {
            assert!(matches!(postgres(code), Class::Unavailable), "{code}");
        }
        for code in ["42P01", "42703", "22021", "23505"] {
            assert!(matches!(postgres(code), Class::Bug), "{code}");
        }
        // READONLY, and READONLY_DBMOVED.
        for code in [8, 8 | (4 << 8)] {
            assert!(matches!(sqlite(code), Class::Unavailable), "{code}");
        }
        assert!(matches!(sqlite(1), Class::Bug));
    }

    #[test]
    fn a_failure_to_connect_is_never_a_bug() {
        let odd = sqlx::Error::Configuration("odd".into());
        assert!(matches!(classify(&DbErr::Conn(RuntimeErr::SqlxError(odd.into()))), Class::Unavailable));
    }
}

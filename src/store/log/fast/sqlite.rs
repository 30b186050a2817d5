//! The fast path on SQLite: one transaction on a connection of the lane's own, in the lane's own thread.
//!
//! Every statement is prepared once, and its text comes from the entities. The lane holds the permit of the only writer
//! while it runs, so `BEGIN IMMEDIATE` finds the database locked only by another process, or by a dropped transaction that is
//! not rolled back yet. It waits for neither.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    batch::{FastBatch, FastOutcome},
    sqlite_statements::Statements,
};
use crate::{
    faults::{self, Fault},
    store::{log::draft::Deduplicate, sqlite::PRAGMAS},
};

/// The connection and its statements.
pub(in crate::store::log) struct FastSqlite {
    path: PathBuf,
    statements: Statements,
    /// None until the first batch, after a panic, and after a rollback that failed. A mutex, since a connection is not `Sync`;
    /// it is never waited for.
    connection: Mutex<Option<Connection>>,
}

impl FastSqlite {
    /// Makes the fast path to a file. Opens nothing yet.
    pub(in crate::store::log) fn new(path: PathBuf) -> Self {
        Self { path, statements: Statements::new(), connection: Mutex::new(None) }
    }

    /// Appends a batch. Blocks the thread until it is committed.
    pub(super) fn append(&mut self, batch: &FastBatch<'_>) -> FastOutcome {
        let Self { path, statements, connection } = self;
        let slot = connection.get_mut();
        let connection = match slot.take().map_or_else(|| open(path), Ok) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "the log's connection could not be opened");
                return FastOutcome::NotStored(Deduplicate::ByIndex);
            }
        };
        // A panic drops the connection, which rolls back.
        let appended = catch_unwind(AssertUnwindSafe(|| {
            let outcome = statements.append(&connection, batch);
            (connection, outcome)
        }));
        match appended {
            Ok((connection, outcome)) => {
                if faults::is(Fault::FastPathAcksBeforeCommit) && !connection.is_autocommit() {
                    commit_later(connection);
                    return outcome;
                }
                // Otherwise a failed rollback would leave a transaction open.
                *slot = Some(connection).filter(Connection::is_autocommit);
                outcome
            }
            Err(_) => {
                tracing::error!("appending to the log panicked");
                FastOutcome::NotStored(Deduplicate::ByIndex)
            }
        }
    }
}

/// Opens the connection with the settings of the others.
fn open(path: &PathBuf) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // `BEGIN IMMEDIATE` does not wait for another process.
    connection.busy_timeout(Duration::ZERO)?;
    for (name, value) in PRAGMAS {
        connection.pragma_update(None, name, value)?;
    }
    Ok(connection)
}

impl Statements {
    fn append(&self, connection: &Connection, batch: &FastBatch<'_>) -> FastOutcome {
        let written = execute(connection, "BEGIN IMMEDIATE").and_then(|()| self.write(connection, batch));
        let heads = match written {
            Ok(heads) if heads.iter().any(Option::is_some) => heads,
            Ok(heads) => {
                roll_back(connection);
                return FastOutcome::Committed(heads);
            }
            Err(error) => {
                if faults::is(Fault::RefusalLeavesHalf) {
                    drop(execute(connection, "COMMIT"));
                }
                roll_back(connection);
                return FastOutcome::NotStored(explain(&error));
            }
        };
        if faults::is(Fault::FastPathAcksBeforeCommit) {
            return FastOutcome::Committed(heads);
        }
        match execute(connection, "COMMIT") {
            Ok(()) => FastOutcome::Committed(heads),
            Err(error) => {
                tracing::warn!(%error, "a commit's outcome is unknown: looking it up");
                roll_back(connection);
                FastOutcome::InDoubt(heads)
            }
        }
    }
}

/// Commits after the messages were acknowledged, where a mutant does.
fn commit_later(connection: Connection) {
    std::thread::spawn(move || {
        std::thread::sleep(faults::DELAY);
        drop(execute(&connection, "COMMIT"));
    });
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Rolls back, unless SQLite has done so by itself, as where the disk is full.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = execute(connection, "ROLLBACK")
    {
        tracing::debug!(%error, "a batch could not be rolled back: its connection is closed");
    }
}

/// Says how the lane's own transaction should begin after a failure, which it will meet and report itself.
fn explain(error: &rusqlite::Error) -> Deduplicate {
    tracing::debug!(%error, "the fast path did not take a batch");
    if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
        Deduplicate::ByLookup
    } else {
        Deduplicate::ByIndex
    }
}

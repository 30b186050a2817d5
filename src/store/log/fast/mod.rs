//! The fast path of an append: one transaction without a hop on SQLite, one statement on PostgreSQL.
//!
//! It takes a room of a batch if the memberships of all its authors are cached, if the room's epochs are those under which
//! they were cached, and if all its authors' sessions are alive. It takes a room completely or not at all, so the order of a
//! room's messages is the order of the batch. It never waits for a lock of another transaction, it never looks up ids that
//! were stored before, and it explains no refusal. Whatever it does not take goes through [the lane's own
//! transaction](super::lane::Lane::append), which does all of that: a room that is locked, an author whose membership is not
//! cached or whose session has ended, a batch that repeats an id, a database that fails.
//!
//! The rules of the log hold here too: a seq is read under the lock of its room, the messages and the head are written in one
//! transaction, and nothing is answered before its commit has returned.

mod postgres;
mod postgres_columns;
mod sqlite;
mod sqlite_statements;
mod kept_connection;
mod batch;

use tokio::time::Instant;

pub(super) use self::{
    batch::{FastBatch, FastOutcome, FastRoom, Head},
    kept_connection::KeptConnection,
    sqlite::FastSqlite,
};

/// The fast path of a lane.
pub(super) enum FastPath {
    Sqlite(FastSqlite),
    Postgres(KeptConnection),
}

impl FastPath {
    /// Says whether it can be used now.
    pub(super) async fn is_ready(&mut self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(connection) => connection.is_ready().await,
        }
    }

    /// Appends a batch, by `deadline`. On SQLite it blocks the thread until the batch is committed.
    pub(super) async fn append(&mut self, batch: &FastBatch<'_>, deadline: Instant) -> FastOutcome {
        match self {
            Self::Sqlite(sqlite) => sqlite.append(batch),
            Self::Postgres(connection) => postgres::append(connection, batch, deadline).await,
        }
    }

    /// Says whether a statement without an answer may begin later. On PostgreSQL it may still be on its way to the server.
    pub(super) const fn may_begin_later(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

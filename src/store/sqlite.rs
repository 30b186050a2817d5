//! SQLite: how its file is opened.

use std::{path::PathBuf, time::Duration};

use sea_orm::{
    ConnectOptions, Database, DbErr,
    sqlx::{
        Connection as _,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use super::pool::{Pool, Trust};

/// How many connections read.
const READERS: u32 = 4;

/// How long a caller waits for a connection of a pool.
const READER_TIMEOUT: Duration = Duration::from_secs(2);
const WRITER_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the writer (one connection) or the readers.
///
/// # Errors
/// Where the file cannot be opened, or is none of SQLite's.
pub(super) async fn pool(path: PathBuf, read_only: bool) -> Result<Pool, DbErr> {
    Ok(Pool::new(Database::connect(options(path, read_only)).await?, Trust::default()))
}

/// The pragmas are set through sqlx's own options, so that they hold on every connection of the pool.
fn options(path: PathBuf, read_only: bool) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options
        .max_connections(if read_only { READERS } else { 1 })
        .min_connections(1)
        .acquire_timeout(if read_only { READER_TIMEOUT } else { WRITER_TIMEOUT })
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_sqlite_opts(move |options| {
            options
                .filename(&path)
                .in_memory(false)
                .shared_cache(false)
                .create_if_missing(!read_only)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(5))
                .pragma("query_only", if read_only { "1" } else { "0" })
                // What is deleted is overwritten in the file too. FAST leaves it in pages that become free, and those of a
                // deleted room are just these.
                .pragma("secure_delete", "1")
                .pragma("temp_store", "memory")
                // The page cache of the system lies behind it.
                .pragma("cache_size", if read_only { "-4096" } else { "-8192" })
        })
        // Where the disk is full, SQLite rolls back by itself. sqlx still counts a transaction then, and would begin
        // the next one inside it: what is committed there is not. Such a connection is replaced.
        .map_sqlx_sqlite_pool_opts(|pool| {
            pool.before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
        });
    options
}

//! SQLite: what its file must be, and how it is opened.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Access, access};
use sea_orm::{
    ConnectOptions, Database, DbErr,
    sqlx::{
        Connection as _,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use super::{SetupError, pool::Pool};

/// What every file of SQLite's begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// How many connections read.
const READERS: u32 = 4;

/// How long a caller waits for a connection of a pool.
const READER_TIMEOUT: Duration = Duration::from_secs(2);
const WRITER_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at what a path leads to, and says whether anything is there. What is no database's file SQLite would name by a number.
///
/// # Errors
/// Where it is no file that SQLite can use, or cannot be made.
pub(super) fn look(path: &Path) -> Result<bool, SetupError> {
    let unusable = |cause| SetupError::File { path: path.to_owned(), cause };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unusable(error)),
    };
    if file.metadata().map_err(unusable)?.is_dir() {
        return Err(unusable(io::ErrorKind::IsADirectory.into()));
    }
    let mut begins = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut begins).map_err(unusable)?;
    // An empty one is a new database.
    if begins.is_empty() || begins == MAGIC { Ok(true) } else { Err(SetupError::NotSqlite(path.to_owned())) }
}

/// Says whether a server could make the file where it is missing, or write to it. `data_dir` alone is made with it.
///
/// # Errors
/// Why it could not.
pub(super) fn may_serve(path: &Path, data_dir: &Path) -> Result<(), SetupError> {
    if look(path)? {
        return may(path, Access::READ_OK | Access::WRITE_OK);
    }
    let folder = folder_of(path);
    let mut nearest = folder;
    while folder == data_dir && !nearest.exists() {
        nearest = folder_of(nearest);
    }
    if nearest.exists() && !nearest.is_dir() {
        return Err(SetupError::File { path: path.to_owned(), cause: io::ErrorKind::NotADirectory.into() });
    }
    may(nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| match error {
        SetupError::File { cause, .. } => SetupError::File { path: path.to_owned(), cause },
        error => error,
    })
}

fn may(path: &Path, what: Access) -> Result<(), SetupError> {
    access(path, what).map_err(|cause| SetupError::File { path: path.to_owned(), cause: cause.into() })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens the writer (one connection) or the readers.
///
/// # Errors
/// Where the file cannot be opened, or is none of SQLite's.
pub(super) async fn pool(path: PathBuf, read_only: bool) -> Result<Pool, DbErr> {
    Ok(Pool::fixed(Database::connect(options(path, read_only)).await?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_database_s_file_is_named_with_what_to_do() {
        let folder = tempfile::TempDir::new().unwrap();
        let [text, empty, missing] =
            ["text.db", "empty.db", "missing.db"].map(|name| folder.path().join(name));
        std::fs::write(&text, "a text that somebody keeps here").unwrap();
        std::fs::write(&empty, "").unwrap();
        for path in [&empty, &missing] {
            may_serve(path, Path::new("data")).unwrap();
        }
        let elsewhere = folder.path().join("a/b");
        may_serve(&elsewhere.join("new.db"), &elsewhere).unwrap();
        for (path, tells) in [
            (text.clone(), "is no SQLite database"),
            (folder.path().to_owned(), "it is a folder"),
            (elsewhere.join("new.db"), "make its folder first"),
            (text.join("new.db"), "a folder in its path is a file"),
        ] {
            let told = may_serve(&path, Path::new("data")).unwrap_err();
            assert_eq!(told.exit_code(), 69);
            let told = told.to_string();
            assert!(told.contains(tells) && told.contains(&path.display().to_string()), "{told}");
        }
    }
}

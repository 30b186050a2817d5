//! Checks and opens a SQLite file.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Access, access};
use sea_orm::{
    ConnectOptions, Database, DbErr,
    sqlx::{Connection as _, sqlite::SqliteJournalMode},
};

use super::{SetupError, pool::Pool};

/// The first bytes of every SQLite file.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Number of reading connections.
const READERS: u32 = 4;

/// How long a caller waits for a connection of the pool.
const READER_TIMEOUT: Duration = Duration::from_secs(2);
const WRITER_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of every connection.
pub(super) const PRAGMAS: [(&str, &str); 5] = [
    ("synchronous", "FULL"),
    ("foreign_keys", "1"),
    // Overwrites deleted content in the file. FAST would leave it in pages that become free, as those of a deleted room do.
    ("secure_delete", "1"),
    ("temp_store", "memory"),
    // In KiB. Small, since the system's page cache lies behind it.
    ("cache_size", "-8192"),
];

/// Checks the file at a path, and says whether it exists. For a file of another kind SQLite would return a bare error
/// number.
///
/// # Errors
/// If it is no file that SQLite can use.
pub(super) fn probe(path: &Path) -> Result<bool, SetupError> {
    let unusable = |cause| SetupError::File { path: path.to_owned(), cause };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unusable(error)),
    };
    if file.metadata().map_err(unusable)?.is_dir() {
        return Err(unusable(io::ErrorKind::IsADirectory.into()));
    }
    let mut start = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut start).map_err(unusable)?;
    // An empty file is a new database.
    if start.is_empty() || start == MAGIC { Ok(true) } else { Err(SetupError::NotSqlite(path.to_owned())) }
}

/// Checks that a server could write to the file, or create it if it is missing. The server creates `data_dir` too, but no
/// other folder.
///
/// # Errors
/// The reason why it could not.
pub(super) fn check_location(path: &Path, data_dir: &Path) -> Result<(), SetupError> {
    if probe(path)? {
        return check_access(path, Access::READ_OK | Access::WRITE_OK);
    }
    let folder = folder_of(path);
    let mut nearest = folder;
    while folder == data_dir && !nearest.exists() {
        nearest = folder_of(nearest);
    }
    if nearest.exists() && !nearest.is_dir() {
        return Err(SetupError::File { path: path.to_owned(), cause: io::ErrorKind::NotADirectory.into() });
    }
    check_access(nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| match error {
        SetupError::File { cause, .. } => SetupError::File { path: path.to_owned(), cause },
        error => error,
    })
}

fn check_access(path: &Path, what: Access) -> Result<(), SetupError> {
    access(path, what).map_err(|cause| SetupError::File { path: path.to_owned(), cause: cause.into() })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What a pool is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// One connection that writes.
    ReadWrite,
    /// Four connections that only read.
    ReadOnly,
}

/// Opens a pool.
///
/// # Errors
/// If the file cannot be opened, or is no SQLite file.
pub(super) async fn pool(path: PathBuf, mode: Mode) -> Result<Pool, DbErr> {
    Ok(Pool::permanent(Database::connect(options(path, mode)).await?))
}

/// Sets the pragmas through sqlx's own options, so that they apply to every connection of the pool.
fn options(path: PathBuf, mode: Mode) -> ConnectOptions {
    let read_only = mode == Mode::ReadOnly;
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
            let options = options
                .filename(&path)
                .in_memory(false)
                .shared_cache(false)
                .create_if_missing(!read_only)
                .journal_mode(SqliteJournalMode::Wal)
                .busy_timeout(Duration::from_secs(5));
            let options =
                PRAGMAS.iter().fold(options, |options, (name, value)| options.pragma(*name, *value));
            if read_only { options.pragma("query_only", "1").pragma("cache_size", "-4096") } else { options }
        })
        // If the disk is full, SQLite rolls back by itself. sqlx still counts a transaction then, and would begin the next
        // one as a savepoint inside it, whose commit is no commit. Such a connection is replaced.
        .map_sqlx_sqlite_pool_opts(|pool| {
            pool.before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
        });
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_path_is_refused_with_a_remedy() {
        let folder = tempfile::TempDir::new().unwrap();
        let [text, empty, missing] =
            ["text.db", "empty.db", "missing.db"].map(|name| folder.path().join(name));
        std::fs::write(&text, "some text").unwrap();
        std::fs::write(&empty, "").unwrap();
        for path in [&empty, &missing] {
            check_location(path, Path::new("data")).unwrap();
        }
        let elsewhere = folder.path().join("a/b");
        check_location(&elsewhere.join("new.db"), &elsewhere).unwrap();
        for (path, expected) in [
            (text.clone(), "is no SQLite database"),
            (folder.path().to_owned(), "it is a folder"),
            (elsewhere.join("new.db"), "make its folder first"),
            (text.join("new.db"), "a folder in its path is a file"),
        ] {
            let error = check_location(&path, Path::new("data")).unwrap_err();
            assert_eq!(error.exit_code(), 69);
            let error = error.to_string();
            assert!(error.contains(expected) && error.contains(&path.display().to_string()), "{error}");
        }
    }
}

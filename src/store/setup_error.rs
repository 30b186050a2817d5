//! The reasons why a database cannot be served from, each with its remedy.

use std::{io, path::PathBuf};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, postgres::PgDatabaseError},
};

use super::unusable_connection::UnusableConnection;

/// The reason why a database cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A newer version has migrated it.
    #[error("the database was migrated by a newer version of this program (step {0}); start that version")]
    SchemaTooNew(String),
    /// It belongs to another program.
    #[error(
        "it is not GRPCChatter's: it holds {0}; set DATABASE_URL or DATA_DIR to one that is, or to a new one"
    )]
    Foreign(String),
    /// SQLite did not accept a pragma.
    #[error(
        "SQLite keeps {pragma} = {found}, but a durable log needs {wanted}; move DATA_DIR to a local file system"
    )]
    Pragma {
        /// The pragma.
        pragma: &'static str,
        /// Its value.
        found: String,
        /// The required value.
        wanted: &'static str,
    },
    /// It does not exist, and must not be created.
    #[error("there is no database at {}; start the server, or set DATA_DIR to where it runs", .0.display())]
    Absent(PathBuf),
    /// Its schema lacks a migration.
    #[error(
        "its schema is an older version's (it lacks {0}); run `grpcchatter migrate`, or start this version"
    )]
    SchemaTooOld(String),
    /// Its schema lacks a migration that the role may not apply.
    #[error(
        "its schema lacks {step}, and the user of DATABASE_URL may not change it ({cause}); run `grpcchatter migrate` as \
         one who may, or see docs/operate.md for what to grant"
    )]
    MayNotMigrate {
        /// The migration.
        step: String,
        /// PostgreSQL's message.
        cause: String,
    },
    /// PostgreSQL is too old.
    #[error("PostgreSQL {0} is too old; this program needs 15 or later")]
    PostgresTooOld(String),
    /// PostgreSQL cannot be reached, or refuses the connection.
    #[error("PostgreSQL at {address}: {cause}; {remedy}")]
    Unreachable {
        /// The address.
        address: String,
        /// The cause.
        cause: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// Its connections cannot be used.
    #[error("PostgreSQL at {address}: {reason}")]
    Unusable {
        /// The address.
        address: String,
        /// The reason.
        reason: UnusableConnection,
    },
    /// A setting makes commits not durable.
    #[error(
        "PostgreSQL at {address} has {setting} = {found}: what it acknowledged is lost when its machine fails; set \
         {setting} = on in postgresql.conf, and reload it"
    )]
    Setting {
        /// The address.
        address: String,
        /// The setting.
        setting: &'static str,
        /// Its value.
        found: String,
    },
    /// Its encoding does not hold every character.
    #[error(
        "the database at {address} has the encoding {found}, which does not hold every character; create it again with \
         `createdb --encoding=UTF8 --template=template0`"
    )]
    Encoding {
        /// The address.
        address: String,
        /// The encoding.
        found: String,
    },
    /// Another server holds its lock.
    #[error("another server is using it; stop that one, or set DATABASE_URL to another database")]
    InUse,
    /// Another process holds the lock on the file.
    #[error(
        "another process is using {}; stop it, or set DATABASE_URL to another file", .0.display()
    )]
    FileInUse(PathBuf),
    /// The file was moved, deleted or replaced while it was in use.
    #[error("{} was moved, deleted or replaced while the server ran; start it again", .0.display())]
    FileReplaced(PathBuf),
    /// The file cannot be opened or locked.
    #[error("{path} cannot be opened: {cause}; {remedy}", path = .path.display(), remedy = remedy(.cause))]
    File {
        /// The path.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// The file is no SQLite database.
    #[error("{} is no SQLite database; set DATABASE_URL or DATA_DIR to one, or to a new file", .0.display())]
    NotSqlite(PathBuf),
    /// `search_path` names no existing schema.
    #[error(
        "search_path = {0} names no existing schema; create it with `CREATE SCHEMA`, or correct search_path for the user \
         of DATABASE_URL"
    )]
    NoSchema(String),
    /// The database failed.
    #[error("{}", cause(.0))]
    Database(DbErr),
}

impl From<DbErr> for SetupError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl SetupError {
    /// Says whether its sentence names the database.
    pub const fn says_where(&self) -> bool {
        match self {
            Self::Absent(_)
            | Self::Unreachable { .. }
            | Self::Unusable { .. }
            | Self::Setting { .. }
            | Self::Encoding { .. }
            | Self::FileInUse(_)
            | Self::FileReplaced(_)
            | Self::File { .. }
            | Self::NotSqlite(_) => true,
            Self::InUse
            | Self::SchemaTooNew(_)
            | Self::Foreign(_)
            | Self::SchemaTooOld(_)
            | Self::MayNotMigrate { .. }
            | Self::PostgresTooOld(_)
            | Self::NoSchema(_)
            | Self::Pragma { .. }
            | Self::Database(_) => false,
        }
    }

    /// Returns the program's exit code (sysexits.h: 69 `EX_UNAVAILABLE`, 75 `EX_TEMPFAIL`).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::InUse | Self::FileInUse(_) | Self::FileReplaced(_) => 75,
            Self::Absent(_)
            | Self::SchemaTooOld(_)
            | Self::SchemaTooNew(_)
            | Self::Foreign(_)
            | Self::MayNotMigrate { .. }
            | Self::PostgresTooOld(_)
            | Self::Unreachable { .. }
            | Self::Unusable { .. }
            | Self::Setting { .. }
            | Self::Encoding { .. }
            | Self::File { .. }
            | Self::NotSqlite(_)
            | Self::NoSchema(_)
            | Self::Pragma { .. }
            | Self::Database(_) => 69,
        }
    }
}

/// Returns the remedy for a file that cannot be opened or created.
fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => "make its folder first, or correct DATABASE_URL or DATA_DIR",
        io::ErrorKind::IsADirectory => "it is a folder: set DATABASE_URL to a file in it",
        io::ErrorKind::NotADirectory => "a folder in its path is a file: correct DATABASE_URL or DATA_DIR",
        io::ErrorKind::PermissionDenied => "let the program's user read and write it and its folder",
        io::ErrorKind::ReadOnlyFilesystem => {
            "its file system takes no writes: set DATABASE_URL or DATA_DIR to another"
        }
        _ => "check its file system, or set DATABASE_URL or DATA_DIR to another",
    }
}

/// Returns the innermost cause: SeaORM and sqlx each repeat it in words of their own.
pub(super) fn cause(error: &DbErr) -> String {
    let (DbErr::Conn(RuntimeErr::SqlxError(inner))
    | DbErr::Exec(RuntimeErr::SqlxError(inner))
    | DbErr::Query(RuntimeErr::SqlxError(inner))) = error
    else {
        return error.to_string();
    };
    match &**inner {
        sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
            // Its `Display` adds a line of PostgreSQL's source code.
            Some(error) => format!("{} (SQLSTATE {})", error.message(), error.code()),
            None => database.to_string(),
        },
        other => other.to_string(),
    }
}

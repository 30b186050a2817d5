//! Why a database cannot be served from, and what to do about it.

use std::{io, path::PathBuf};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, postgres::PgDatabaseError},
};

use super::postgres::Unfit;

/// Why a database cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A newer program has migrated it.
    #[error("the database was migrated by a newer version of this program (step {0}); start that version")]
    Newer(String),
    /// Another program has made it.
    #[error(
        "it is not GRPCChatter's: it holds {0}; set DATABASE_URL or DATA_DIR to one that is, or to a new one"
    )]
    Foreign(String),
    /// A pragma did not take.
    #[error(
        "SQLite keeps {pragma} = {found}, but a durable log needs {wanted}; move DATA_DIR to a local file system"
    )]
    Pragma {
        /// Which.
        pragma: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// There is none, where one is to be used and not made.
    #[error("there is no database at {}; start the server, or set DATA_DIR to where it runs", .0.display())]
    Absent(PathBuf),
    /// Its schema lacks a step.
    #[error(
        "its schema is an older version's (it lacks {0}); run `grpcchatter migrate`, or start this version"
    )]
    Older(String),
    /// Its schema lacks a step, which the role may not add.
    #[error(
        "its schema lacks {step}, and the user of DATABASE_URL may not change it ({cause}); run `grpcchatter migrate` as \
         one who may, or see docs/operate.md for what to grant"
    )]
    MayNotMigrate {
        /// The step.
        step: String,
        /// What PostgreSQL said.
        cause: String,
    },
    /// PostgreSQL is too old.
    #[error("PostgreSQL {0} is too old; this program needs 15 or later")]
    TooOld(String),
    /// PostgreSQL cannot be reached, or lets nobody in.
    #[error("PostgreSQL at {address}: {cause}; {remedy}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What is wrong.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Its connections cannot be written with.
    #[error("PostgreSQL at {address}: {unfit}")]
    Unfit {
        /// Where it is.
        address: String,
        /// Why.
        unfit: Unfit,
    },
    /// A setting would lose what was acknowledged.
    #[error(
        "PostgreSQL at {address} has {setting} = {found}: what it acknowledged is lost when its machine fails; set \
         {setting} = on in postgresql.conf, and reload it"
    )]
    Setting {
        /// Where it is.
        address: String,
        /// Which.
        setting: &'static str,
        /// What it is.
        found: String,
    },
    /// It cannot hold every character.
    #[error(
        "the database at {address} has the encoding {found}, which does not hold every character; make it anew with \
         `createdb --encoding=UTF8 --template=template0`"
    )]
    Encoding {
        /// Where it is.
        address: String,
        /// What it has.
        found: String,
    },
    /// Another server has it.
    #[error("another server is using it; stop that one, or set DATABASE_URL to another database")]
    Taken,
    /// Another server has the file.
    #[error(
        "another process is using {}; stop it, or set DATABASE_URL to another file", .0.display()
    )]
    FileTaken(PathBuf),
    /// The file was changed for another while it was in use.
    #[error("{} was moved, deleted or replaced while the server ran; start it again", .0.display())]
    FileGone(PathBuf),
    /// The file cannot be opened or locked.
    #[error("{path} cannot be opened: {cause}; {remedy}", path = .path.display(), remedy = remedy(.cause))]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is another program's.
    #[error("{} is no SQLite database; set DATABASE_URL or DATA_DIR to one, or to a new file", .0.display())]
    NotSqlite(PathBuf),
    /// There is no schema in which tables are looked for and made.
    #[error(
        "search_path = {0} names no schema that is there; make it with `CREATE SCHEMA`, or correct search_path for the user \
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
            | Self::Unfit { .. }
            | Self::Setting { .. }
            | Self::Encoding { .. }
            | Self::FileTaken(_)
            | Self::FileGone(_)
            | Self::File { .. }
            | Self::NotSqlite(_) => true,
            Self::Taken
            | Self::Newer(_)
            | Self::Foreign(_)
            | Self::Older(_)
            | Self::MayNotMigrate { .. }
            | Self::TooOld(_)
            | Self::NoSchema(_)
            | Self::Pragma { .. }
            | Self::Database(_) => false,
        }
    }

    /// Returns the program's exit code (sysexits.h: 69 `EX_UNAVAILABLE`, 75 `EX_TEMPFAIL`).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Taken | Self::FileTaken(_) | Self::FileGone(_) => 75,
            Self::Absent(_)
            | Self::Older(_)
            | Self::Newer(_)
            | Self::Foreign(_)
            | Self::MayNotMigrate { .. }
            | Self::TooOld(_)
            | Self::Unreachable { .. }
            | Self::Unfit { .. }
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

/// Says what helps where a file cannot be opened or made.
fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => "make its folder first, or correct DATABASE_URL or DATA_DIR",
        io::ErrorKind::IsADirectory => "it is a folder: set DATABASE_URL to a file in it",
        io::ErrorKind::NotADirectory => "a folder in its path is a file: correct DATABASE_URL or DATA_DIR",
        io::ErrorKind::PermissionDenied => "let the program's user read and write it and its folder",
        io::ErrorKind::ReadOnlyFilesystem => {
            "its file system takes no writes: set DATABASE_URL or DATA_DIR to another"
        }
        _ => "see whether its file system is sound, or set DATABASE_URL or DATA_DIR to another",
    }
}

/// Returns the cause alone: SeaORM and sqlx each say it again in words of their own.
pub(super) fn cause(error: &DbErr) -> String {
    let (DbErr::Conn(RuntimeErr::SqlxError(inner))
    | DbErr::Exec(RuntimeErr::SqlxError(inner))
    | DbErr::Query(RuntimeErr::SqlxError(inner))) = error
    else {
        return error.to_string();
    };
    match &**inner {
        sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
            // Its `Display` adds a line of PostgreSQL's own source.
            Some(error) => format!("{} (SQLSTATE {})", error.message(), error.code()),
            None => database.to_string(),
        },
        other => other.to_string(),
    }
}

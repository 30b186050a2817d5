use std::{collections::HashSet, path::PathBuf};

use grpcchatter_entity::meta;
use grpcchatter_migration::{Migrator, MigratorTrait as _};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, EntityTrait as _, Statement,
};

use super::Store;
use crate::faults::{self, Fault};

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
    /// PostgreSQL is too old.
    #[error("PostgreSQL {0} is too old; this program needs 15 or later")]
    TooOld(String),
    /// Another server has it.
    #[error("another server is using it; stop that one, or set DATABASE_URL to another database")]
    Taken,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl SetupError {
    /// Returns the program's exit code (sysexits.h: 69 `EX_UNAVAILABLE`, 75 `EX_TEMPFAIL`).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Taken => 75,
            Self::Absent(_)
            | Self::Older(_)
            | Self::Newer(_)
            | Self::Foreign(_)
            | Self::TooOld(_)
            | Self::Pragma { .. }
            | Self::Database(_) => 69,
        }
    }
}

impl Store {
    /// Brings the schema up to this program's version, checks what durability rests on, and returns the
    /// deployment's id, which is made once.
    ///
    /// # Errors
    /// Where the database is newer than the program, or fails.
    pub async fn migrate(&self) -> Result<String, SetupError> {
        self.refuse_old_postgres().await?;
        self.refuse_newer().await?;
        Migrator::up(self.database(), None).await?;
        if faults::is(Fault::NoDeduplication) || faults::is(Fault::DeduplicationUnderLock) {
            self.database().execute_unprepared("DROP INDEX IF EXISTS messages_client_message_id").await?;
        }
        if faults::is(Fault::IdsForgotten) {
            self.database().execute_unprepared("UPDATE messages SET client_message_id = NULL").await?;
        }
        if self.backend() == DbBackend::Sqlite {
            self.check_pragmas().await?;
        }
        Ok(self.deployment().await?)
    }

    /// Returns the connections that set the database up: nobody else is there yet.
    fn database(&self) -> &DatabaseConnection {
        &self.0.writer
    }

    pub(super) async fn refuse_newer(&self) -> Result<(), SetupError> {
        let known: HashSet<String> =
            Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
        let table = "seaql_migrations";
        if !self.has_table(table).await? {
            return match self.has_table("accounts").await? {
                true => {
                    Err(SetupError::Foreign("a table accounts that this program did not make".to_owned()))
                }
                false => Ok(()),
            };
        }
        let applied = Statement::from_string(self.backend(), format!("SELECT version FROM {table}"));
        let applied = self.database().query_all_raw(applied).await?;
        let applied: Vec<String> =
            applied.iter().map(|row| row.try_get("", "version")).collect::<Result<_, _>>()?;
        judge(&known, &applied)
    }

    async fn has_table(&self, table: &str) -> Result<bool, DbErr> {
        let exists = match self.backend() {
            DbBackend::Sqlite => {
                format!("SELECT name AS found FROM sqlite_master WHERE type = 'table' AND name = '{table}'")
            }
            _ => format!(
                "SELECT table_name AS found FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = '{table}'"
            ),
        };
        let found = self.database().query_one_raw(Statement::from_string(self.backend(), exists)).await?;
        Ok(found.is_some())
    }

    async fn refuse_old_postgres(&self) -> Result<(), SetupError> {
        if self.backend() != DbBackend::Postgres {
            return Ok(());
        }
        let asked = "SELECT current_setting('server_version_num')::int4 AS number, \
                     current_setting('server_version') AS name";
        let row = self.database().query_one_raw(Statement::from_string(self.backend(), asked)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("server_version".to_owned()))?;
        check_version(row.try_get("", "number")?, row.try_get("", "name")?)
    }

    async fn check_pragmas(&self) -> Result<(), SetupError> {
        for (pragma, wanted) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
            let statement = Statement::from_string(self.backend(), format!("PRAGMA {pragma}"));
            let row = self.database().query_one_raw(statement).await?;
            let found = match row {
                Some(row) => row
                    .try_get_by_index::<String>(0)
                    .or_else(|_| row.try_get_by_index::<i64>(0).map(|number| number.to_string()))?,
                None => String::new(),
            };
            if found != wanted {
                return Err(SetupError::Pragma { pragma, found, wanted });
            }
        }
        Ok(())
    }

    async fn deployment(&self) -> Result<String, DbErr> {
        let name = "deployment";
        let fresh =
            meta::ActiveModel { name: Set(name.to_owned()), value: Set(self.clock().uuid().to_string()) };
        meta::Entity::insert(fresh)
            .on_conflict_do_nothing_on([meta::Column::Name])
            .exec(self.database())
            .await?;
        let row = meta::Entity::find_by_id(name).one(self.database()).await?;
        Ok(row.ok_or_else(|| DbErr::RecordNotFound(name.to_owned()))?.value)
    }
}

/// Says whether a database that these steps were applied to can be served from. Other programs keep their steps in a table
/// of the same name, and have none of ours.
fn judge(known: &HashSet<String>, applied: &[String]) -> Result<(), SetupError> {
    let Some(unknown) = applied.iter().find(|step| !known.contains(*step)) else { return Ok(()) };
    if applied.iter().any(|step| known.contains(step)) {
        Err(SetupError::Newer(unknown.clone()))
    } else {
        Err(SetupError::Foreign(format!("another program's step {unknown}")))
    }
}

/// The oldest PostgreSQL that the statements are written for, as `server_version_num` tells it.
const OLDEST_POSTGRES: i32 = 150_000;

fn check_version(number: i32, name: String) -> Result<(), SetupError> {
    if number < OLDEST_POSTGRES { Err(SetupError::TooOld(name)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_s_steps_are_told_from_a_newer_version_s() {
        let known = HashSet::from(["m0001_initial".to_owned()]);
        let judged = |applied: &[&str]| {
            let applied: Vec<String> = applied.iter().map(|step| (*step).to_owned()).collect();
            judge(&known, &applied)
        };
        judged(&[]).unwrap();
        judged(&["m0001_initial"]).unwrap();
        assert!(matches!(judged(&["m0001_initial", "m9"]), Err(SetupError::Newer(step)) if step == "m9"));
        assert!(matches!(judged(&["m20220101_create_posts"]), Err(SetupError::Foreign(_))));
    }

    #[test]
    fn postgresql_before_15_is_refused_with_a_sentence() {
        let refused = check_version(140_012, "14.12 (Debian 14.12-1)".to_owned()).unwrap_err();
        assert_eq!(refused.exit_code(), 69);
        assert_eq!(
            refused.to_string(),
            "PostgreSQL 14.12 (Debian 14.12-1) is too old; this program needs 15 or later"
        );
        for number in [150_000, 170_002] {
            check_version(number, String::new()).unwrap();
        }
    }
}

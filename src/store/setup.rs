//! Brings a database to this program's version, and looks at what it is.

use std::{collections::HashSet, sync::Arc};

use grpcchatter_entity::meta;
use grpcchatter_migration::{Migrator, MigratorTrait as _};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, EntityTrait as _, Statement,
};

use super::{
    DatabaseUrl, SetupError, Store,
    failure::is_refused,
    pool::Trust,
    postgres::{self, session::MIGRATING},
    setup_error::cause,
};
use crate::faults::{self, Fault};

/// What a database is after its migration.
#[derive(Debug)]
pub struct Migrated {
    /// The deployment's id.
    pub deployment: String,
    /// Whether its schema lacked anything.
    pub has_changed: bool,
}

impl Store {
    /// Brings the schema up to this program's version, checks what durability rests on, and says what was done and which
    /// deployment's it is, whose id is made once.
    ///
    /// # Errors
    /// Where the database is newer than the program, or fails.
    pub async fn migrate(&self, url: &DatabaseUrl) -> Result<Migrated, SetupError> {
        self.refuse_newer().await?;
        let pending = self.pending().await?;
        let has_changed = pending.is_some();
        if let Some(step) = pending {
            self.step_up(url, step).await?;
        }
        if faults::is(Fault::NoDeduplication) || faults::is(Fault::DeduplicationUnderLock) {
            self.database().execute_unprepared("DROP INDEX IF EXISTS messages_client_message_id").await?;
        }
        if faults::is(Fault::IdsForgotten) {
            self.database().execute_unprepared("UPDATE messages SET client_message_id = NULL").await?;
        }
        if self.backend() == DbBackend::Sqlite {
            self.check_pragmas().await?;
            // A file that may only be read opens as well. To change nothing is refused like any other write.
            self.database().execute_unprepared("UPDATE meta SET value = value WHERE FALSE").await?;
        }
        let deployment = self.deployment().await?;
        self.0.server.serves(&deployment);
        Ok(Migrated { deployment, has_changed })
    }

    /// Returns the first step that the schema lacks. It is found by reading: who may not change a schema can use one that is
    /// complete.
    pub(super) async fn pending(&self) -> Result<Option<String>, SetupError> {
        let pending = Migrator::get_pending_migrations_read_only(self.database()).await?;
        Ok(pending.first().map(|step| step.name().to_owned()))
    }

    /// Adds what the schema lacks, from `step` on. On PostgreSQL by a connection of its own, on which a statement may take
    /// as long as the tables are large.
    async fn step_up(&self, url: &DatabaseUrl, step: String) -> Result<(), SetupError> {
        let done = match url {
            DatabaseUrl::Sqlite(_) => Migrator::up(self.database(), None).await,
            DatabaseUrl::Postgres(url) => {
                let pool = postgres::pool(url, 1, MIGRATING, &Trust::default(), &Arc::default()).await?;
                let done = Migrator::up(pool.bare(), None).await;
                pool.bare().close_by_ref().await?;
                done
            }
        };
        done.map_err(|error| {
            if is_refused(&error) {
                SetupError::MayNotMigrate { step, cause: cause(&error) }
            } else {
                error.into()
            }
        })
    }

    /// Returns the connections that set the database up: nobody else is there yet.
    fn database(&self) -> &DatabaseConnection {
        self.0.writer.bare()
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

    pub(super) async fn check_pragmas(&self) -> Result<(), SetupError> {
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
        // Looked up first: who starts again asks for no right to write.
        if let Some(row) = meta::Entity::find_by_id(name).one(self.database()).await? {
            return Ok(row.value);
        }
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
}

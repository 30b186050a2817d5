//! Migrates a database to this program's version, and checks that it is one of ours.

use std::{collections::HashSet, sync::Arc};

use grpcchatter_entity::meta;
use grpcchatter_migration::{Migrator, MigratorTrait as _};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, EntityTrait as _, Statement,
};

use super::{
    DatabaseUrl, SetupError, Store,
    failure::lacks_privilege,
    pool_generation::PoolGeneration,
    postgres::{self, session::MIGRATING},
    setup_error::cause,
};
use crate::faults::{self, Fault};

/// The tables of the first migration. If it was cut off, some of them exist.
const OUR_TABLES: [&str; 6] = ["accounts", "sessions", "rooms", "members", "messages", "meta"];

/// The result of a migration.
#[derive(Debug)]
pub struct Migrated {
    /// Id of the deployment.
    pub deployment: String,
    /// Whether the schema was changed.
    pub has_changed: bool,
}

impl Store {
    /// Migrates the schema to this program's version, and checks the settings that durability depends on. Returns the
    /// deployment's id, which is created once.
    ///
    /// # Errors
    /// If the database was migrated by a newer version, or fails.
    pub async fn migrate(&self, url: &DatabaseUrl) -> Result<Migrated, SetupError> {
        self.check_applied_migrations().await?;
        let pending = self.pending_migration().await?;
        let has_changed = pending.is_some();
        if let Some(step) = pending {
            self.check_may_migrate(&step).await?;
            self.apply_migrations(url, step).await?;
        }
        if faults::is(Fault::NoDeduplication) || faults::is(Fault::DeduplicationUnderLock) {
            self.database().execute_unprepared("DROP INDEX IF EXISTS messages_client_message_id").await?;
        }
        if faults::is(Fault::IdsForgotten) {
            self.database().execute_unprepared("UPDATE messages SET client_message_id = NULL").await?;
        }
        if self.backend() == DbBackend::Sqlite {
            self.check_pragmas().await?;
            // A read-only file opens without an error. A write that changes nothing is refused like any other.
            self.database().execute_unprepared("UPDATE meta SET value = value WHERE FALSE").await?;
        }
        let deployment = self.deployment().await?;
        self.0.server.set_deployment(&deployment);
        Ok(Migrated { deployment, has_changed })
    }

    /// Returns the first migration that the schema lacks. Only reads, so a role that may not change the schema can use a
    /// complete one.
    pub(super) async fn pending_migration(&self) -> Result<Option<String>, SetupError> {
        let pending = Migrator::get_pending_migrations_read_only(&self.database()).await?;
        Ok(pending.first().map(|step| step.name().to_owned()))
    }

    /// Applies the migrations from `step` on. On PostgreSQL it uses a connection of its own, without `statement_timeout`,
    /// since the tables may be large.
    async fn apply_migrations(&self, url: &DatabaseUrl, step: String) -> Result<(), SetupError> {
        let done = match url {
            DatabaseUrl::Sqlite(_) => Migrator::up(&self.database(), None).await,
            DatabaseUrl::Postgres(url) => {
                let pool =
                    postgres::pool(url, 1, MIGRATING, &PoolGeneration::default(), &Arc::default()).await?;
                let done = Migrator::up(&pool.bare(), None).await;
                pool.close().await?;
                done
            }
        };
        done.map_err(|error| {
            if lacks_privilege(&error) {
                SetupError::MayNotMigrate { step, cause: cause(&error) }
            } else {
                error.into()
            }
        })
    }

    /// Returns the connections for the setup. They need no permit, since nothing else uses the database yet.
    fn database(&self) -> DatabaseConnection {
        self.0.writer.bare()
    }

    pub(super) async fn check_applied_migrations(&self) -> Result<(), SetupError> {
        let known: HashSet<String> =
            Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
        let table = "seaql_migrations";
        let foreign = |table| SetupError::Foreign(format!("a table {table} that this program did not make"));
        if !self.has_table(table).await? {
            return self.foreign_table(&[]).await?.map_or(Ok(()), |table| Err(foreign(table)));
        }
        let applied = Statement::from_string(self.backend(), format!("SELECT version FROM {table}"));
        let applied = self.database().query_all_raw(applied).await?;
        let applied: Vec<String> =
            applied.iter().map(|row| row.try_get("", "version")).collect::<Result<_, _>>()?;
        if applied.is_empty()
            && self.backend() == DbBackend::Sqlite
            && let Some(table) = self.foreign_table(&OUR_TABLES).await?
        {
            return Err(foreign(table));
        }
        check_steps(&known, &applied)
    }

    /// Returns a table of another program, if there is one, for a database to which none of our migrations was applied. On
    /// SQLite any table outside `beside` is foreign, since a file belongs to one program. A PostgreSQL database may hold
    /// tables of other programs, such as the original's, so only `accounts` counts as a conflict.
    async fn foreign_table(&self, beside: &[&str]) -> Result<Option<String>, DbErr> {
        if self.backend() != DbBackend::Sqlite {
            return Ok(self.has_table("accounts").await?.then(|| "accounts".to_owned()));
        }
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             AND name <> 'seaql_migrations'";
        let tables = self.database().query_all_raw(Statement::from_string(self.backend(), tables)).await?;
        let tables: Vec<String> =
            tables.iter().map(|row| row.try_get("", "name")).collect::<Result<_, _>>()?;
        Ok(tables.into_iter().find(|table| !beside.contains(&table.as_str())))
    }

    /// Checks that the role may apply the migrations from `step` on, before any is applied.
    ///
    /// # Errors
    /// If it may not, or there is no schema.
    pub(super) async fn check_may_migrate(&self, step: &str) -> Result<(), SetupError> {
        if self.backend() == DbBackend::Sqlite {
            return Ok(());
        }
        let rights = "SELECT current_schema()::text AS schema, current_setting('search_path') AS path, \
             COALESCE(has_schema_privilege(current_schema(), 'CREATE'), FALSE) AS may_create, \
             COALESCE((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('accounts')), TRUE) \
             AS is_owner";
        let row = self.database().query_one_raw(Statement::from_string(self.backend(), rights)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("the role's rights".to_owned()))?;
        let Some(schema) = row.try_get::<Option<String>>("", "schema")? else {
            return Err(SetupError::NoSchema(row.try_get("", "path")?));
        };
        let lacks = if !row.try_get::<bool>("", "may_create")? {
            format!("permission denied for schema {schema}")
        } else if !row.try_get::<bool>("", "is_owner")? {
            "it is not the owner of table accounts".to_owned()
        } else {
            return Ok(());
        };
        Err(SetupError::MayNotMigrate { step: step.to_owned(), cause: lacks })
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
        // Looked up first, so that a restart needs no write.
        if let Some(row) = meta::Entity::find_by_id(name).one(&self.database()).await? {
            return Ok(row.value);
        }
        let fresh =
            meta::ActiveModel { name: Set(name.to_owned()), value: Set(self.clock().uuid().to_string()) };
        meta::Entity::insert(fresh)
            .on_conflict_do_nothing_on([meta::Column::Name])
            .exec(&self.database())
            .await?;
        let row = meta::Entity::find_by_id(name).one(&self.database()).await?;
        Ok(row.ok_or_else(|| DbErr::RecordNotFound(name.to_owned()))?.value)
    }
}

/// Checks the names of the applied migrations. Another program may keep its migrations in a table of the same name, and has
/// none of ours.
fn check_steps(known: &HashSet<String>, applied: &[String]) -> Result<(), SetupError> {
    let Some(unknown) = applied.iter().find(|step| !known.contains(*step)) else { return Ok(()) };
    if applied.iter().any(|step| known.contains(step)) {
        Err(SetupError::SchemaTooNew(unknown.clone()))
    } else {
        Err(SetupError::Foreign(format!("another program's step {unknown}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_another_program_and_of_a_newer_version_are_distinguished() {
        let known = HashSet::from(["m0001_initial".to_owned()]);
        let checked = |applied: &[&str]| {
            let applied: Vec<String> = applied.iter().map(|step| (*step).to_owned()).collect();
            check_steps(&known, &applied)
        };
        checked(&[]).unwrap();
        checked(&["m0001_initial"]).unwrap();
        assert!(
            matches!(checked(&["m0001_initial", "m9"]), Err(SetupError::SchemaTooNew(step)) if step == "m9")
        );
        assert!(matches!(checked(&["m20220101_create_posts"]), Err(SetupError::Foreign(_))));
    }
}

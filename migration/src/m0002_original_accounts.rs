//! Copies the accounts of the original, if its tables are in the same PostgreSQL database.
//!
//! The tables `users` and `roles` are only read, so that the original can be used again. Names keep their case: they are
//! case-sensitive in both programs. An account that has a name here already keeps it, since it may be somebody else's.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement},
};

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_original_accounts"
    }
}

/// Counts the columns by which the original's tables are recognized; other programs may have tables of the same names.
const COLUMNS: &str = "SELECT count(*) AS found FROM pg_attribute WHERE NOT attisdropped AND (
    attrelid = to_regclass('users') AND attname IN ('id', 'created_at', 'username', 'password', 'role_id')
    OR attrelid = to_regclass('roles') AND attname IN ('id', 'name'))";

const COLUMNS_OF_BOTH: i64 = 7;

/// In the order of registration, with new ids, since the original's may be taken.
const TAKE_OVER: &str = "INSERT INTO accounts (user_name, password_hash, role, created_at)
    SELECT users.username, users.password, COALESCE(roles.name, 'USER'),
        (EXTRACT(EPOCH FROM users.created_at) * 1000000)::BIGINT
    FROM users LEFT JOIN roles ON roles.id = users.role_id
    ORDER BY users.id
    ON CONFLICT (user_name) DO NOTHING";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The original never used SQLite.
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        let connection = manager.get_connection();
        let found = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, COLUMNS)).await?;
        let found: i64 = found.map_or(Ok(0), |row| row.try_get("", "found"))?;
        if found == COLUMNS_OF_BOTH {
            // The server's connections have a statement_timeout of 2 s, and copying many accounts takes longer.
            connection.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
            connection.execute_unprepared(TAKE_OVER).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        // The accounts stay, since they may have been used.
        Ok(())
    }
}

//! The accounts of the original, where its tables stand in the same PostgreSQL database.
//!
//! Its `users` and `roles` are read and left as they are, so that one can go back to it. Names keep their case, in
//! which they differ there and here. Whoever has a name here already keeps it: it may be somebody else.

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

/// Counts the columns that make the two tables the original's; somebody else's may have the same names.
const COLUMNS: &str = "SELECT count(*) AS found FROM pg_attribute WHERE NOT attisdropped AND (
    attrelid = to_regclass('users') AND attname IN ('id', 'created_at', 'username', 'password', 'role_id')
    OR attrelid = to_regclass('roles') AND attname IN ('id', 'name'))";

const COLUMNS_OF_BOTH: i64 = 7;

/// In the order in which they registered; with ids of their own, since the original's may be taken by now.
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
            // The server's connections give a statement two seconds; many accounts take longer, once.
            connection.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
            connection.execute_unprepared(TAKE_OVER).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        // The accounts may have been used since: they stay.
        Ok(())
    }
}

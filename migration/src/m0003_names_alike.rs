//! Adds unique keys by which confusable names are found, and erases the names of deleted accounts.
//!
//! Among existing accounts whose names are confusable the oldest gets the keys, and the others go on without them. The
//! previous version leaves the columns NULL in accounts that it adds meanwhile.

use grpcchatter_entity::account::ConfusableKeys;
use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement, Value},
};

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_names_alike"
    }
}

/// Number of accounts that one statement updates.
const PAGE_SIZE: u32 = 500;

/// The columns, each with its index.
const COLUMNS: [(&str, &str); 2] =
    [("name_skeleton", "accounts_name_skeleton"), ("name_folded", "accounts_name_folded")];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        if manager.get_database_backend() == DbBackend::Postgres {
            // The server's connections have a statement_timeout of 2 s, and updating many accounts takes longer.
            connection.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
        }
        for (column, _) in COLUMNS {
            // On SQLite a migration is no transaction: one that was cut off runs again from its start.
            if !manager.has_column("accounts", column).await? {
                let add = format!("ALTER TABLE accounts ADD COLUMN {column} VARCHAR NULL");
                connection.execute_unprepared(&add).await?;
            }
        }
        fill(manager).await?;
        for (column, index) in COLUMNS {
            let younger = format!(
                "UPDATE accounts SET {column} = NULL WHERE {column} IS NOT NULL \
                 AND id NOT IN (SELECT MIN(id) FROM accounts WHERE {column} IS NOT NULL GROUP BY {column})"
            );
            connection.execute_unprepared(&younger).await?;
            let unique = format!("CREATE UNIQUE INDEX IF NOT EXISTS {index} ON accounts ({column})");
            connection.execute_unprepared(&unique).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for (column, index) in COLUMNS {
            connection.execute_unprepared(&format!("DROP INDEX {index}")).await?;
            connection.execute_unprepared(&format!("ALTER TABLE accounts DROP COLUMN {column}")).await?;
        }
        Ok(())
    }
}

/// Sets the keys of each account, by rising id, and gives each deleted account a text that no name can be.
async fn fill(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let (connection, backend) = (manager.get_connection(), manager.get_database_backend());
    let page =
        format!("SELECT id, user_name, deleted_at FROM accounts WHERE id > $1 ORDER BY id LIMIT {PAGE_SIZE}");
    let mut after = 0_i64;
    loop {
        let statement = Statement::from_sql_and_values(backend, &page, [after.into()]);
        let rows = connection.query_all_raw(statement).await?;
        let mut values: Vec<Value> = Vec::with_capacity(rows.len() * 4);
        for row in &rows {
            after = row.try_get("", "id")?;
            let (name, deleted_at): (String, Option<i64>) =
                (row.try_get("", "user_name")?, row.try_get("", "deleted_at")?);
            let (name, keys) = match deleted_at {
                Some(_) => (format!("deleted:{after}"), None),
                None => (name.clone(), Some(ConfusableKeys::of(&name))),
            };
            let (skeleton, folded) = keys.map(|keys| (keys.skeleton, keys.folded)).unzip();
            values.extend([after.into(), name.into(), skeleton.into(), folded.into()]);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let given: Vec<String> = (0..rows.len())
            .map(|row| {
                let [id, name, skeleton, folded] = [1, 2, 3, 4].map(|column| row * 4 + column);
                format!(
                    "(CAST(${id} AS BIGINT), CAST(${name} AS VARCHAR), CAST(${skeleton} AS VARCHAR), CAST(${folded} AS VARCHAR))"
                )
            })
            .collect();
        let update = format!(
            "WITH given (id, name, skeleton, folded) AS (VALUES {}) \
             UPDATE accounts SET user_name = given.name, name_skeleton = given.skeleton, name_folded = given.folded \
             FROM given WHERE accounts.id = given.id",
            given.join(", ")
        );
        connection.execute_raw(Statement::from_sql_and_values(backend, update, values)).await?;
    }
}

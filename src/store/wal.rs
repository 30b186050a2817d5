//! Truncates SQLite's write-ahead log (WAL), so that deleted text does not stay in it.

use sea_orm::{
    DbBackend, DbErr, RuntimeErr,
    sqlx::{self, Row as _, SqliteConnection},
};

use super::{DbResult, Store};
use crate::model::Result;

impl Store {
    /// Copies SQLite's WAL into the database file and truncates it. The WAL keeps each page as it was written until it is
    /// truncated, so it may hold deleted text. A passive checkpoint copies the pages while others write; then the WAL is
    /// truncated if no other connection uses it. Says whether it was: if not, a later call may do it. Does nothing on
    /// PostgreSQL, whose WAL no client can truncate.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn checkpoint(&self) -> Result<bool> {
        if self.backend() != DbBackend::Sqlite {
            return Ok(true);
        }
        let store = self.clone();
        self.on_core_without_timeout("truncate the WAL", async move {
            let _permit = store.admission().acquire_write(None).await?;
            let mut connection =
                store.writer()?.get_sqlite_connection_pool().acquire().await.map_err(query_error)?;
            // Does not wait for a long reader such as a backup: the log would wait behind this.
            let is_truncated = match set_busy_timeout(&mut connection, 0).await {
                Ok(()) => truncate(&mut connection).await,
                Err(error) => Err(error),
            };
            // Restores the pool's setting, or closes the connection.
            if let Err(error) = set_busy_timeout(&mut connection, 5_000).await {
                connection.close_on_drop();
                return Err(error);
            }
            is_truncated
        })
        .await
    }
}

/// Sets how long a connection waits for locks of other connections.
async fn set_busy_timeout(connection: &mut SqliteConnection, milliseconds: u32) -> DbResult<()> {
    let set = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {milliseconds}"));
    sqlx::query(set).execute(connection).await.map_err(query_error)?;
    Ok(())
}

/// Checkpoints, and says whether the WAL was truncated.
async fn truncate(connection: &mut SqliteConnection) -> DbResult<bool> {
    sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut *connection).await.map_err(query_error)?;
    let row =
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(connection).await.map_err(query_error)?;
    Ok(row.try_get::<i64, _>(0).map_err(query_error)? == 0)
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

//! The journal of SQLite, out of which what was removed has to go as well.

use sea_orm::{
    DbBackend, DbErr, RuntimeErr,
    sqlx::{self, Row as _, SqliteConnection},
};

use super::{DbResult, Store};
use crate::model::Result;

impl Store {
    /// Has what was removed leave the journal of SQLite, which holds each page as it was written until it begins anew. The
    /// pages are copied first while others write; then the journal is cut if nobody uses it at that moment. Says whether it
    /// was cut: if not, a later call may do it. PostgreSQL has no journal that a client could cut.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn checkpoint(&self) -> Result<bool> {
        if self.backend() != DbBackend::Sqlite {
            return Ok(true);
        }
        let store = self.clone();
        self.at_length("cut the journal", async move {
            let _turn = store.turns().write(None).await?;
            let mut connection =
                store.writer()?.get_sqlite_connection_pool().acquire().await.map_err(failed)?;
            // A reader that takes long, as a backup does, is not waited for: the log would wait too.
            let cut = match patience(&mut connection, 0).await {
                Ok(()) => cut(&mut connection).await,
                Err(error) => Err(error),
            };
            // The pool gets it back as it was, or gets another.
            if let Err(error) = patience(&mut connection, 5_000).await {
                connection.close_on_drop();
                return Err(error);
            }
            cut
        })
        .await
    }
}

/// Sets for how many milliseconds a connection waits for others.
async fn patience(connection: &mut SqliteConnection, milliseconds: u32) -> DbResult<()> {
    let set = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {milliseconds}"));
    sqlx::query(set).execute(connection).await.map_err(failed)?;
    Ok(())
}

/// Copies the journal into the database and cuts it. Says whether it is cut.
async fn cut(connection: &mut SqliteConnection) -> DbResult<bool> {
    sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut *connection).await.map_err(failed)?;
    let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(connection).await.map_err(failed)?;
    Ok(row.try_get::<i64, _>(0).map_err(failed)? == 0)
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

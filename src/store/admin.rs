//! What an operator does to a database beside the server that uses it. The server's poll notices it.

use std::{path::Path, sync::Arc};

use grpcchatter_entity::account;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbBackend, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, Statement, sea_query::Expr,
};
use tokio::runtime::Handle;

use super::{
    DatabaseUrl, Inner, SetupError, Store,
    accounts::named,
    pool::Trust,
    postgres::{self, session::SERVING},
    rooms::{Row, SELECT},
    server::Server,
    sessions::end_sessions,
    sqlite,
    turns::Turns,
};
use crate::{
    clock::Clock,
    model::{Error, Result, Room, RoomId, UserName},
};

/// What becomes of an account.
#[derive(Clone, Debug)]
pub enum Sentence {
    /// It cannot log in any more, and its sessions end.
    Disable,
    /// It can log in again.
    Enable,
    /// It has this password's hash, and its sessions end.
    NewPassword(String),
}

impl Store {
    /// Opens a database that a server may be using, without taking it from that one.
    ///
    /// # Errors
    /// Where it is not there, or its schema is another version's.
    pub async fn connect_beside(url: &DatabaseUrl, clock: Clock) -> std::result::Result<Self, SetupError> {
        let trust = Trust::default();
        let server = Arc::new(Server::new(trust.clone()));
        let (backend, pool) = match url {
            DatabaseUrl::Sqlite(path) => {
                if !sqlite::look(path)? {
                    return Err(SetupError::Absent(path.clone()));
                }
                (DbBackend::Sqlite, sqlite::pool(path.clone(), false).await?)
            }
            DatabaseUrl::Postgres(url) => {
                let look = postgres::server::check(url).await?;
                let pool = postgres::pool(url, 2, SERVING, &trust, &server).await?;
                postgres::close(look).await;
                (DbBackend::Postgres, pool)
            }
        };
        let inner = Inner {
            core: Handle::current(),
            clock,
            backend,
            writer: pool.clone(),
            reader: pool,
            trust,
            lanes: std::sync::OnceLock::new(),
            turns: Turns::at_one_connection(1),
            server,
            claim: None,
        };
        let store = Self(std::sync::Arc::new(inner));
        store.refuse_newer().await?;
        if backend == DbBackend::Sqlite {
            store.check_pragmas().await?;
        }
        match store.pending().await? {
            Some(step) => {
                store.may_step_up(&step).await?;
                Err(SetupError::Older(step))
            }
            None => Ok(store),
        }
    }

    /// Says whether a server could make its database's file, or write to it, before anything is opened.
    ///
    /// # Errors
    /// Why it could not.
    pub fn may_serve(url: &DatabaseUrl, data_dir: &Path) -> std::result::Result<(), SetupError> {
        match url {
            DatabaseUrl::Sqlite(path) => sqlite::may_serve(path, data_dir),
            DatabaseUrl::Postgres(_) => Ok(()),
        }
    }

    /// Changes what an account may do. Its name stays as it is.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; failures of the database.
    pub async fn sentence(&self, user_name: UserName, sentence: Sentence) -> Result<()> {
        let store = self.clone();
        self.writing("change an account", async move {
            let transaction = store.begin().await?;
            let (column, value) = match &sentence {
                Sentence::Disable => {
                    (account::Column::DisabledAt, Expr::value(Some(store.clock().now().as_micros())))
                }
                Sentence::Enable => (account::Column::DisabledAt, Expr::value(None::<i64>)),
                Sentence::NewPassword(hash) => (account::Column::PasswordHash, Expr::value(hash.clone())),
            };
            let row = named(&transaction, &user_name).await?.ok_or(Error::UserNotFound)?;
            account::Entity::update_many()
                .col_expr(column, value)
                .filter(account::Column::Id.eq(row.id))
                .exec(&transaction)
                .await?;
            if !matches!(sentence, Sentence::Enable) {
                let all = grpcchatter_entity::session::Column::UserId.eq(row.id);
                end_sessions(&transaction, all).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Lists the rooms by rising id, `size` of them from after `after` on.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn every_room(&self, after: RoomId, size: i64) -> Result<Vec<Room>> {
        let store = self.clone();
        self.on_core("list every room", async move {
            let sql = format!("{SELECT} WHERE r.id > $1 ORDER BY r.id LIMIT $2");
            let values = [after.0.into(), size.into()];
            let statement = Statement::from_sql_and_values(store.backend(), sql, values);
            let rows = Row::find_by_statement(statement).all(store.reader()).await?;
            Ok(rows.into_iter().map(|row| row.into_record().room).collect())
        })
        .await
    }

    /// Copies the database as it is at one moment into a file that is empty or not there, while others write. SQLite
    /// alone: PostgreSQL has pg_dump.
    ///
    /// # Errors
    /// Failures of the database, of the file too.
    pub async fn copy_into(&self, file: &Path) -> Result<()> {
        let (store, file) = (self.clone(), file.to_string_lossy().into_owned());
        self.at_length("copy the database", async move {
            let copy = Statement::from_sql_and_values(store.backend(), "VACUUM INTO $1", [file.into()]);
            store.writer()?.execute_raw(copy).await?;
            Ok(())
        })
        .await
    }
}

//! Operator commands that may run beside the server. The server's poll notices what they change.

use std::{path::Path, sync::Arc};

use grpcchatter_entity::account;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbBackend, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, Statement, sea_query::Expr,
};
use tokio::runtime::Handle;

use super::{
    accounts::find_by_name,
    admission::Admission,
    database::{Inner, Store},
    database_url::DatabaseUrl,
    pool_generation::PoolGeneration,
    postgres::{self, session::SERVING},
    rooms::{RoomRow, SELECT_ROOM},
    server::Server,
    session_end::end_sessions,
    setup_error::SetupError,
    sqlite::{self, Mode},
};
use crate::{
    clock::Clock,
    model::{Error, Result, Room, RoomId, UserName},
};

/// An operator's change of an account.
#[derive(Clone, Debug)]
pub enum AccountChange {
    /// The account cannot log in any more, and its sessions end.
    Disable,
    /// The account can log in again.
    Enable,
    /// The account gets this password hash, and its sessions end.
    SetPassword(String),
}

impl Store {
    /// Opens a database that a server may be using, without the instance lock.
    ///
    /// # Errors
    /// If it does not exist, or its schema is another version's.
    pub async fn connect_without_lock(
        url: &DatabaseUrl,
        clock: Clock,
    ) -> std::result::Result<Self, SetupError> {
        let generation = PoolGeneration::default();
        let server = Arc::new(Server::new(generation.clone()));
        let (backend, pool) = match url {
            DatabaseUrl::Sqlite(path) => {
                if !sqlite::probe(path)? {
                    return Err(SetupError::Absent(path.clone()));
                }
                (DbBackend::Sqlite, sqlite::pool(path.clone(), Mode::ReadWrite).await?)
            }
            DatabaseUrl::Postgres(url) => {
                let checked = postgres::preflight::check(url).await?;
                let pool = postgres::pool(url, 2, SERVING, &generation, &server).await?;
                postgres::close(checked).await;
                (DbBackend::Postgres, pool)
            }
        };
        let inner = Inner {
            core: Handle::current(),
            clock,
            backend,
            writer: pool.clone(),
            reader: pool,
            generation,
            lanes: std::sync::OnceLock::new(),
            lane_connections: Arc::default(),
            admission: Admission::shared_writer(1),
            server,
            instance_lock: None,
        };
        let store = Self(Arc::new(inner));
        store.check_applied_migrations().await?;
        if backend == DbBackend::Sqlite {
            store.check_pragmas().await?;
        }
        match store.pending_migration().await? {
            Some(step) => {
                store.check_may_migrate(&step).await?;
                Err(SetupError::SchemaTooOld(step))
            }
            None => Ok(store),
        }
    }

    /// Checks that a server could create its database file, or write to it, before anything is opened.
    ///
    /// # Errors
    /// The reason why it could not.
    pub fn check_location(url: &DatabaseUrl, data_dir: &Path) -> std::result::Result<(), SetupError> {
        match url {
            DatabaseUrl::Sqlite(path) => sqlite::check_location(path, data_dir),
            DatabaseUrl::Postgres(_) => Ok(()),
        }
    }

    /// Changes an account.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; failures of the database.
    pub async fn change_account(&self, user_name: UserName, change: AccountChange) -> Result<()> {
        let store = self.clone();
        self.writing("change an account", async move {
            let transaction = store.begin().await?;
            let (column, value) = match &change {
                AccountChange::Disable => {
                    (account::Column::DisabledAt, Expr::value(Some(store.clock().now().as_micros())))
                }
                AccountChange::Enable => (account::Column::DisabledAt, Expr::value(None::<i64>)),
                AccountChange::SetPassword(hash) => {
                    (account::Column::PasswordHash, Expr::value(hash.clone()))
                }
            };
            let row = find_by_name(&transaction, &user_name).await?.ok_or(Error::UserNotFound)?;
            account::Entity::update_many()
                .col_expr(column, value)
                .filter(account::Column::Id.eq(row.id))
                .exec(&transaction)
                .await?;
            if !matches!(change, AccountChange::Enable) {
                let of_account = grpcchatter_entity::session::Column::UserId.eq(row.id);
                end_sessions(&transaction, of_account).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Lists rooms by rising id: up to `size`, after the room `after`.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn list_all_rooms(&self, after: RoomId, size: i64) -> Result<Vec<Room>> {
        let store = self.clone();
        self.on_core("list every room", async move {
            let sql = format!("{SELECT_ROOM} WHERE r.id > $1 ORDER BY r.id LIMIT $2");
            let values = [after.0.into(), size.into()];
            let statement = Statement::from_sql_and_values(store.backend(), sql, values);
            let rows = RoomRow::find_by_statement(statement).all(store.reader()).await?;
            Ok(rows.into_iter().map(|row| row.into_record().room).collect())
        })
        .await
    }

    /// Copies a snapshot of the database into a file that is empty or does not exist, while others write. For SQLite only:
    /// PostgreSQL has pg_dump.
    ///
    /// # Errors
    /// Failures of the database, and of the file.
    pub async fn copy_into(&self, file: &Path) -> Result<()> {
        let (store, file) = (self.clone(), file.to_string_lossy().into_owned());
        self.on_core_without_timeout("copy the database", async move {
            let copy = Statement::from_sql_and_values(store.backend(), "VACUUM INTO $1", [file.into()]);
            store.writer()?.execute_raw(copy).await?;
            Ok(())
        })
        .await
    }
}

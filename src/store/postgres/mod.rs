//! PostgreSQL: its address, the checks before it is used, and the pools.

use std::{sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, DbErr, RuntimeErr,
    sqlx::{self, Connection as _},
};
use tokio::time::timeout;

pub(super) mod preflight;
pub(super) mod session;
mod url;

use self::session::Settings;
pub use self::url::PostgresUrl;
use super::{SetupError, pool::Pool, pool_generation::PoolGeneration, server::Server};

/// How long a caller waits for a connection of a pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the first connection of a pool may take. A pooler may make it wait much longer than PostgreSQL does.
pub(super) const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a pool of up to `connections` connections, each with the given settings.
///
/// # Errors
/// If not even one can be opened.
pub(super) async fn pool(
    url: &PostgresUrl,
    connections: u32,
    settings: Settings,
    generation: &PoolGeneration,
    server: &Arc<Server>,
) -> Result<Pool, SetupError> {
    // The real options come from `url`, which is parsed already: no text with a password is kept or parsed again.
    let mut options = ConnectOptions::new("postgres://");
    let connect = url.options().clone();
    let (pools, server) = (generation.clone(), Arc::clone(server));
    options
        .max_connections(connections)
        .min_connections(1)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .record_stmt_in_spans(false)
        .map_sqlx_postgres_opts(move |_| connect.clone())
        .map_sqlx_postgres_pool_opts(move |pool| {
            let (pools, server) = (pools.clone(), Arc::clone(&server));
            pool.after_connect(move |connection, _| {
                let (pools, server) = (pools.clone(), Arc::clone(&server));
                Box::pin(async move {
                    let ready = async {
                        session::prepare(connection, settings).await?;
                        server.identify(connection).await
                    };
                    // The pool limits this time only while a caller waits for the connection.
                    let ready = timeout(ACQUIRE_TIMEOUT, ready).await;
                    let ready = ready.unwrap_or(Err(sqlx::Error::PoolTimedOut));
                    ready.inspect_err(|error| pools.report_unusable(error))
                })
            })
            .before_acquire(|connection, _| {
                // A BEGIN whose caller gave up may have been executed all the same.
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            })
        });
    let opened = timeout(OPENING_TIMEOUT, Pool::replaceable(options, generation.clone())).await;
    match opened {
        Ok(Ok(pool)) => Ok(pool),
        // The server itself answered a moment ago.
        Err(_) | Ok(Err(DbErr::ConnectionAcquire(_))) => Err(none_free(url)),
        Ok(Err(DbErr::Conn(RuntimeErr::SqlxError(error)))) if matches!(*error, sqlx::Error::PoolTimedOut) => {
            Err(none_free(url))
        }
        Ok(Err(error)) => Err(error.into()),
    }
}

/// The error if a server answers, but gives no further connection.
pub(super) fn none_free(url: &PostgresUrl) -> SetupError {
    SetupError::Unreachable {
        address: url.to_string(),
        cause: "no further connection was given in time".to_owned(),
        remedy: "allow 21 connections: raise max_connections, the role's CONNECTION LIMIT or the pooler's pool_size",
    }
}

/// Closes the connection of [`preflight::check`].
pub(super) async fn close(connection: sea_orm::sqlx::PgConnection) {
    // The peer may have closed it already.
    drop(connection.close().await);
}

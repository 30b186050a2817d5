//! PostgreSQL: where it is, what it must be, and what every connection to it is held to.

use std::{sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, DbErr, RuntimeErr,
    sqlx::{self, Connection as _},
};
use tokio::time::timeout;

pub(super) mod server;
pub(super) mod session;
mod url;

use self::session::Settings;
pub use self::{session::Unfit, url::PostgresUrl};
use super::{
    SetupError,
    pool::{Pool, Trust},
    server::Server,
};

/// How long a caller waits for a connection of a pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the first connection of a pool may take: a pooler may keep it waiting for much longer than PostgreSQL.
pub(super) const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a pool of so many connections, each of which is held to the settings.
///
/// # Errors
/// Where not even one can be opened.
pub(super) async fn pool(
    url: &PostgresUrl,
    connections: u32,
    settings: Settings,
    trust: &Trust,
    server: &Arc<Server>,
) -> Result<Pool, SetupError> {
    // What is wanted comes from the options that were read before: no text with a password in it is kept or parsed again.
    let mut options = ConnectOptions::new("postgres://");
    let connect = url.options().clone();
    let (opening, server) = (trust.clone(), Arc::clone(server));
    options
        .max_connections(connections)
        .min_connections(1)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .record_stmt_in_spans(false)
        .map_sqlx_postgres_opts(move |_| connect.clone())
        .map_sqlx_postgres_pool_opts(move |pool| {
            let (opening, server) = (opening.clone(), Arc::clone(&server));
            pool.after_connect(move |connection, _| {
                let (opening, server) = (opening.clone(), Arc::clone(&server));
                Box::pin(async move {
                    let ready = async {
                        session::prepare(connection, settings).await?;
                        server.meet(connection).await
                    };
                    // The pool bounds this only where a caller waits for it.
                    let ready = timeout(ACQUIRE_TIMEOUT, ready).await;
                    ready.unwrap_or(Err(sqlx::Error::PoolTimedOut)).inspect_err(|error| opening.say(error))
                })
            })
            .before_acquire(|connection, _| {
                // A BEGIN that was given up while it was under way may have been done all the same.
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            })
        });
    let opened = timeout(OPENING_TIMEOUT, Pool::renewed(options, trust.clone())).await;
    match opened {
        Ok(Ok(pool)) => Ok(pool),
        // The server itself was looked at a moment ago.
        Err(_) | Ok(Err(DbErr::ConnectionAcquire(_))) => Err(none_free(url)),
        Ok(Err(DbErr::Conn(RuntimeErr::SqlxError(error)))) if matches!(*error, sqlx::Error::PoolTimedOut) => {
            Err(none_free(url))
        }
        Ok(Err(error)) => Err(error.into()),
    }
}

/// Returns why a server that answers cannot be used.
pub(super) fn none_free(url: &PostgresUrl) -> SetupError {
    SetupError::Unreachable {
        address: url.to_string(),
        cause: "no further connection was given in time".to_owned(),
        remedy: "let the server have 21: raise max_connections, the role's CONNECTION LIMIT or the pooler's pool_size",
    }
}

/// Closes a connection that was opened for a look.
pub(super) async fn close(connection: sea_orm::sqlx::PgConnection) {
    // The other side may have closed it already.
    drop(connection.close().await);
}

//! PostgreSQL: where it is, what it must be, and what every connection to it is held to.

use std::{sync::Arc, time::Duration};

use sea_orm::{ConnectOptions, Database, DbErr, sqlx::Connection as _};

pub(super) mod server;
pub(super) mod session;
mod url;

use self::session::Settings;
pub use self::{session::Unfit, url::PostgresUrl};
use super::{
    pool::{Pool, Trust},
    server::Server,
};

/// How long a caller waits for a connection of a pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

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
) -> Result<Pool, DbErr> {
    // What is wanted comes from the options that were read before: no text with a password in it is kept or parsed again.
    let mut options = ConnectOptions::new("postgres://");
    let connect = url.options().clone();
    let (opening, taking, server) = (trust.clone(), trust.clone(), Arc::clone(server));
    options
        .max_connections(connections)
        .min_connections(1)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .record_stmt_in_spans(false)
        .map_sqlx_postgres_opts(move |_| connect.clone())
        .map_sqlx_postgres_pool_opts(move |pool| {
            let (opening, taking, server) = (opening.clone(), taking.clone(), Arc::clone(&server));
            pool.after_connect(move |connection, _| {
                let (opening, server) = (opening.clone(), Arc::clone(&server));
                Box::pin(async move {
                    let prepared = session::prepare(connection, settings).await;
                    prepared.inspect_err(|error| opening.say(error))?;
                    server.meet(connection).await
                })
            })
            .before_acquire(move |_, about| {
                let trusted = taking.covers(about.age);
                Box::pin(async move { Ok(trusted) })
            })
        });
    Ok(Pool::new(Database::connect(options).await?, trust.clone()))
}

/// Closes a connection that was opened for a look.
pub(super) async fn close(connection: sea_orm::sqlx::PgConnection) {
    // The other side may have closed it already.
    drop(connection.close().await);
}

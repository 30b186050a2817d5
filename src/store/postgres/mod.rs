//! PostgreSQL: its address, the checks before it is used, and the pools.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use sea_orm::{
    ConnectOptions, DbErr, RuntimeErr,
    sqlx::{self, Connection as _, PgConnection},
};
use tokio::time::{sleep, timeout};

pub(super) mod preflight;
pub(super) mod session;
mod url;

use self::session::Settings;
pub use self::url::PostgresUrl;
use super::{SetupError, pool::Pool, pool_generation::PoolGeneration, server::Server};

/// How long a caller waits for a connection of a pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Time between two attempts to get the first connection.
const CONNECT_INTERVAL: Duration = Duration::from_millis(100);

/// How long the first connection of a pool may take. A pooler may make it wait much longer than PostgreSQL does.
pub(super) const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of the lanes' own connections that are open.
pub(super) type OpenConnections = Arc<AtomicUsize>;

/// Opens connections of one purpose.
///
/// They belong to no pool: their user keeps them. A pool pings each connection that is returned, which costs a round trip.
#[derive(Clone)]
pub(super) struct Connector {
    url: PostgresUrl,
    settings: Settings,
    generation: PoolGeneration,
    server: Arc<Server>,
}

impl Connector {
    pub(super) const fn new(
        url: PostgresUrl,
        settings: Settings,
        generation: PoolGeneration,
        server: Arc<Server>,
    ) -> Self {
        Self { url, settings, generation, server }
    }

    /// Opens a connection outside any pool.
    ///
    /// # Errors
    /// If there is none in time, or it cannot be used.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let opening = timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(self.url.options())).await;
        let opened = opening.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        let mut connection = opened.inspect_err(|error| self.generation.report_unusable(error))?;
        self.prepare(&mut connection).await?;
        Ok(connection)
    }

    /// Checks a new connection, applies the settings, and identifies its server. A pool limits this time only while a caller
    /// waits for the connection.
    async fn prepare(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let ready = async {
            session::prepare(connection, self.settings).await?;
            self.server.identify(connection).await
        };
        let ready = timeout(ACQUIRE_TIMEOUT, ready).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        ready.inspect_err(|error| self.generation.report_unusable(error))
    }

    /// Like [`Self::connect`], at the start of the server: waits until another client gives a connection back.
    ///
    /// # Errors
    /// If there is none in time, or it cannot be used.
    pub(super) async fn connect_first(&self) -> Result<PgConnection, SetupError> {
        let connecting = async {
            loop {
                match self.connect().await {
                    Err(error) if has_no_connection(&error) => sleep(CONNECT_INTERVAL).await,
                    connected => return connected,
                }
            }
        };
        match timeout(OPENING_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()),
            Err(_) => Err(none_free(&self.url)),
        }
    }

    pub(super) const fn generation(&self) -> &PoolGeneration {
        &self.generation
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }
}

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
    let connector = Connector::new(url.clone(), settings, generation.clone(), Arc::clone(server));
    options
        .max_connections(connections)
        .min_connections(1)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .record_stmt_in_spans(false)
        .map_sqlx_postgres_opts(move |_| connect.clone())
        .map_sqlx_postgres_pool_opts(move |pool| {
            let connector = connector.clone();
            pool.after_connect(move |connection, _| {
                let connector = connector.clone();
                Box::pin(async move { connector.prepare(connection).await })
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

/// Says whether the server answers but gives no connection now: `too_many_connections`, or no answer of a pooler.
fn has_no_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "53300"),
        _ => false,
    }
}

/// The error if a server answers, but gives no further connection.
pub(super) fn none_free(url: &PostgresUrl) -> SetupError {
    SetupError::Unreachable {
        address: url.to_string(),
        cause: "no further connection was given in time".to_owned(),
        remedy: "allow 25 connections: raise max_connections, the role's CONNECTION LIMIT or the pooler's pool_size",
    }
}

/// Closes the connection of [`preflight::check`].
pub(super) async fn close(connection: sea_orm::sqlx::PgConnection) {
    // The peer may have closed it already.
    drop(connection.close().await);
}

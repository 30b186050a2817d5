//! The handle to a database: its pools, and how work runs on them.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::FutureExt as _;
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, SqliteTransactionMode, Statement, TransactionOptions,
};
use tokio::{runtime::Handle, time::timeout};
use tracing::Instrument as _;

use super::{
    admission::{Access, Admission},
    database_url::DatabaseUrl,
    failure::{DbResult, Failure},
    fair_semaphore::payer,
    instance_lock::InstanceLock,
    pool::Pool,
    pool_generation::PoolGeneration,
    postgres::OpenConnections,
    postgres::{self, session::SERVING},
    server::Server,
    setup_error::SetupError,
    sqlite::{self, Mode},
    transaction::Transaction,
};
use crate::{
    clock::Clock,
    model::{Error, Result},
};

/// A handle to the database. Clones share its pools.
#[derive(Clone)]
pub struct Store(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) core: Handle,
    pub(super) clock: Clock,
    pub(super) backend: DbBackend,
    /// SQLite: exactly one connection, besides the one that the log's lane keeps. PostgreSQL: the pool of everything but the log's lanes.
    pub(super) writer: Pool,
    /// SQLite: `query_only` connections. PostgreSQL: the same pool as `writer`.
    pub(super) reader: Pool,
    /// PostgreSQL: the pool that the log's lanes share, once it is open. SQLite: unset, since the lane uses `writer`.
    pub(super) lanes: OnceLock<Pool>,
    /// PostgreSQL: how many connections the lanes have besides.
    pub(super) lane_connections: OpenConnections,
    /// The current generation of all pools, the lanes' too.
    pub(super) generation: PoolGeneration,
    pub(super) admission: Admission,
    /// PostgreSQL: the server that answers.
    pub(super) server: Arc<Server>,
    /// Keeps other servers out. `None` for an operator command, which may run beside the server.
    pub(super) instance_lock: Option<InstanceLock>,
}

/// How long a caller waits for a call of the database in all.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Size of PostgreSQL's shared pool.
const POSTGRES_POOL: u32 = 10;

/// Numbers of concurrent reads and writes of callers. They leave connections of the pool for the server's own work.
const SQLITE_READS: usize = 3;
const POSTGRES_READS: usize = 5;
const POSTGRES_WRITES: usize = 3;

impl Store {
    /// Opens the database and acquires its instance lock. Must be called on the core runtime, whose `Handle` it keeps.
    ///
    /// # Errors
    /// If the database cannot be reached or opened, or another process has the lock.
    pub async fn connect(url: &DatabaseUrl, clock: Clock) -> std::result::Result<Self, SetupError> {
        let (core, generation) = (Handle::current(), PoolGeneration::default());
        let server = Arc::new(Server::new(generation.clone()));
        let (backend, writer, reader, admission, lock) = match url {
            DatabaseUrl::Sqlite(path) => {
                sqlite::probe(path)?;
                let lock = InstanceLock::acquire_file(path)?;
                let writer = sqlite::pool(path.clone(), Mode::ReadWrite).await?;
                let reader = sqlite::pool(path.clone(), Mode::ReadOnly).await?;
                (DbBackend::Sqlite, writer, reader, Admission::shared_writer(SQLITE_READS), lock)
            }
            DatabaseUrl::Postgres(url) => {
                let checked = postgres::preflight::check(url).await?;
                let lock = InstanceLock::acquire(url, &clock, &server).await?;
                postgres::close(checked).await;
                let pool = postgres::pool(url, POSTGRES_POOL, SERVING, &generation, &server).await?;
                let admission = Admission::separate_log(POSTGRES_WRITES, POSTGRES_READS);
                (DbBackend::Postgres, pool.clone(), pool, admission, lock)
            }
        };
        Ok(Self(Arc::new(Inner {
            core,
            clock,
            backend,
            writer,
            reader,
            lanes: OnceLock::new(),
            lane_connections: OpenConnections::default(),
            generation,
            admission,
            server,
            instance_lock: Some(lock),
        })))
    }

    /// Checks that the database answers and that this process may write to it, for `/readyz`.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] if not.
    pub async fn ping(&self) -> Result<()> {
        let store = self.clone();
        self.on_core("ping", async move {
            store.ensure_may_write()?;
            let sql = match store.backend() {
                DbBackend::Postgres => {
                    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS is_read_only"
                }
                _ => "SELECT FALSE AS is_read_only",
            };
            let row = store.reader().query_one_raw(Statement::from_string(store.backend(), sql)).await?;
            match row.map(|row| row.try_get::<bool>("", "is_read_only")).transpose()? {
                Some(false) => Ok(()),
                Some(true) | None => {
                    tracing::warn!("the database takes no writes: new connections are opened");
                    store.pool_generation().retire();
                    Err(Error::DatabaseUnavailable.into())
                }
            }
        })
        .await
    }

    /// Waits until the instance lock is lost for good, and says why.
    pub async fn lock_lost(&self) -> SetupError {
        match &self.0.instance_lock {
            Some(lock) => lock.lost().await,
            None => std::future::pending().await,
        }
    }

    /// Closes the pools once the statements on them are done, and releases the instance lock.
    pub async fn close(&self) {
        let store = self.clone();
        let closing = self.0.core.spawn(async move {
            if let Err(error) = store.0.reader.close().await {
                tracing::warn!(%error, "the readers could not be closed");
            }
            if let Err(error) = store.0.writer.close().await {
                tracing::warn!(%error, "the writer could not be closed");
            }
            if let Some(lanes) = store.0.lanes.get()
                && let Err(error) = lanes.close().await
            {
                tracing::warn!(%error, "the log's connections could not be closed");
            }
            if let Some(lock) = &store.0.instance_lock {
                lock.release();
            }
        });
        if closing.await.is_err() {
            tracing::warn!("closing the database panicked");
        }
    }

    /// Runs `work` on the core runtime. It runs to its end even if the caller is dropped, or gives up after
    /// [`CALL_TIMEOUT`]. A failure of the database is logged here, once, and reaches the caller as a fixed sentence.
    pub(super) async fn on_core<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> Result<T> {
        timeout(CALL_TIMEOUT, self.on_core_without_timeout(what, work)).await.unwrap_or_else(|_| {
            tracing::warn!(what, "the database does not answer");
            Err(Error::DatabaseUnavailable)
        })
    }

    /// Like [`Self::on_core`], without a timeout; for operator commands and work in the background.
    pub(super) async fn on_core_without_timeout<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        let reported = work.map(move |done| done.map_err(|failure| store.report(failure, what)));
        let task = self.0.core.spawn(reported.in_current_span());
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, what, "a task of the store panicked");
            Err(Error::Internal)
        })
    }

    /// Like [`Self::on_core`], once a caller's write is admitted.
    pub(super) fn writing<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> {
        self.admitted(Access::Write, what, work)
    }

    /// Like [`Self::on_core`], once a caller's read is admitted.
    pub(super) fn reading<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> {
        self.admitted(Access::Read, what, work)
    }

    /// Like [`Self::on_core`], once the work is admitted on the account of the task's payer. A caller that is dropped
    /// before leaves the queue; after that, the work holds the permit to its end.
    fn admitted<T: Send + 'static>(
        &self,
        access: Access,
        what: &'static str,
        work: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> {
        // Boxed, since it is moved from one future into the next.
        let (store, work) = (self.clone(), Box::pin(work));
        async move {
            let permit = store.admission().acquire(access, payer()).await;
            let permit = permit.map_err(|failure| failure.report(what))?;
            let with_permit = async move {
                let done = work.await;
                drop(permit);
                done
            };
            store.on_core(what, with_permit).await
        }
    }

    /// Begins a transaction that writes. The caller must hold a permit.
    pub(super) async fn begin(&self) -> DbResult<Transaction> {
        let options = match self.0.backend {
            DbBackend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            },
            _ => TransactionOptions::default(),
        };
        self.ensure_may_write()?;
        Ok(self.0.writer.begin(options).await?)
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    pub(super) fn reader(&self) -> &Pool {
        &self.0.reader
    }

    /// Returns the connection on which SQLite is written outside a transaction. The caller must hold a permit. PostgreSQL
    /// is written in transactions only ([`Self::begin`]): a single statement could meet a dead connection and is not
    /// retried.
    pub(super) fn writer(&self) -> DbResult<DatabaseConnection> {
        self.ensure_may_write()?;
        Ok(self.0.writer.bare())
    }

    pub(super) fn pool_generation(&self) -> &PoolGeneration {
        &self.0.generation
    }

    /// Logs a failure, and returns the error for the caller. If the server takes no writes, the connections are retired:
    /// the address may lead to another server by now.
    pub(super) fn report(&self, failure: Failure, what: &'static str) -> Error {
        if failure.is_read_only() {
            self.pool_generation().retire();
        }
        failure.report(what)
    }

    /// Checks that this process holds the instance lock.
    pub(super) fn ensure_may_write(&self) -> DbResult<()> {
        self.0.instance_lock.as_ref().map_or(Ok(()), InstanceLock::ensure_held)
    }

    pub(super) fn backend(&self) -> DbBackend {
        self.0.backend
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

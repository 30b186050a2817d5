//! The database: accounts, sessions, rooms, members and the log, in SQLite or PostgreSQL.
//!
//! A sqlx connection belongs to the runtime that opened it, so every public method of [`Store`] runs its work on
//! the core runtime and awaits the answer. That is the rule of cancellation too: a caller that is dropped never
//! drops a transaction. No entity leaves this module.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction,
    DbBackend, SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
    sqlx::{
        Connection as _,
        postgres::PgConnectOptions,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};
use tokio::{runtime::Handle, time::timeout};
use tracing::Instrument as _;

use crate::{
    clock::Clock,
    model::{Error, Result},
};

mod accounts;
mod admin;
mod claim;
mod failure;
mod gate;
mod history;
mod journal;
mod log;
mod lookup;
mod many;
mod members;
mod retention;
mod rooms;
mod server;
mod sessions;
mod setup;
#[cfg(test)]
pub(crate) mod temporary;
#[cfg(test)]
mod tests;
mod turns;

pub use accounts::Credentials;
pub use admin::Sentence;
use claim::Claim;
use failure::Failure;
pub use gate::{charged_to, payer};
pub use history::{Direction, Head, Page, Place};
pub use log::{Appended, Draft, Lane, Lanes, Receipt};
pub use lookup::{FoundRoom, FoundUser};
pub use members::{Membership, Standing};
pub use rooms::{NewRoom, RoomPage, RoomRecord};
use server::Server;
pub use sessions::{NewSession, Refreshed, Session, Turn};
pub use setup::SetupError;
use turns::{Access, Turns};

/// The result of work inside the store: the caller's fault, or the database's.
type DbResult<T> = std::result::Result<T, Failure>;

/// Which database, and where.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file, made where it is missing.
    Sqlite(PathBuf),
    /// A connection string; it may hold a password, so it is never printed.
    Postgres(String),
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "Sqlite({})", path.display()),
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

/// A handle to the database. Clones share its pools.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    core: Handle,
    clock: Clock,
    backend: DbBackend,
    /// SQLite: exactly one connection. PostgreSQL: the pool that serves everything but the log's lanes.
    writer: DatabaseConnection,
    /// SQLite: `query_only` connections. PostgreSQL: the same pool as `writer`.
    reader: DatabaseConnection,
    /// Who writes next.
    turns: Turns,
    /// PostgreSQL: which one it is.
    server: Arc<Server>,
    /// PostgreSQL: what keeps other servers out. SQLite: none, since DATA_DIR is locked.
    claim: Option<Claim>,
}

/// How long a caller waits for a connection of a pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a caller waits for the database in all: one that is silent keeps nobody longer than one that is gone.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// How many readers SQLite gets, and how many connections PostgreSQL's pool has.
const READERS: u32 = 4;
const POSTGRES_POOL: u32 = 10;

/// How many reads and writes of callers are under way at once: what the server does by itself finds a connection as well.
const SQLITE_READS: usize = 3;
const POSTGRES_READS: usize = 5;
const POSTGRES_WRITES: usize = 3;

impl Store {
    /// Opens the database, and takes it for this process alone. Must be called on the core runtime, whose `Handle`
    /// it keeps.
    ///
    /// # Errors
    /// Where the database cannot be reached or opened, or another process has it.
    pub async fn connect(url: &DatabaseUrl, clock: Clock) -> std::result::Result<Self, SetupError> {
        let (core, server) = (Handle::current(), Arc::<Server>::default());
        let (backend, writer, reader, turns, claim) = match url {
            DatabaseUrl::Sqlite(path) => {
                let writer = Database::connect(sqlite(path.clone(), false)).await?;
                let reader = Database::connect(sqlite(path.clone(), true)).await?;
                (DbBackend::Sqlite, writer, reader, Turns::at_one_connection(SQLITE_READS), None)
            }
            DatabaseUrl::Postgres(url) => {
                let mut options = postgres(url, POSTGRES_POOL);
                let met = Arc::clone(&server);
                options.map_sqlx_postgres_pool_opts(move |pool| {
                    let met = Arc::clone(&met);
                    pool.after_connect(move |connection, _| {
                        let met = Arc::clone(&met);
                        Box::pin(async move { met.meet(connection).await })
                    })
                });
                let pool = Database::connect(options).await?;
                let claim = Claim::take(url, &clock).await?;
                let turns = Turns::beside_the_log(POSTGRES_WRITES, POSTGRES_READS);
                (DbBackend::Postgres, pool.clone(), pool, turns, Some(claim))
            }
        };
        Ok(Self(Arc::new(Inner { core, clock, backend, writer, reader, turns, server, claim })))
    }

    /// Says whether the database answers, for /readyz.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] where it does not.
    pub async fn ping(&self) -> Result<()> {
        let store = self.clone();
        self.on_core("ping", async move {
            store.reader().execute_unprepared("SELECT 1").await?;
            Ok(())
        })
        .await
    }

    /// Ends once another process has taken the database, which happens only where this one's lock was lost.
    pub async fn taken(&self) {
        match &self.0.claim {
            Some(claim) => claim.taken().await,
            None => std::future::pending().await,
        }
    }

    /// Closes the pools after what is under way is done.
    pub async fn close(&self) {
        let store = self.clone();
        let closing = self.0.core.spawn(async move {
            if let Err(error) = store.0.reader.close_by_ref().await {
                tracing::warn!(%error, "the readers could not be closed");
            }
            if let Err(error) = store.0.writer.close_by_ref().await {
                tracing::warn!(%error, "the writer could not be closed");
            }
            if let Some(claim) = &store.0.claim {
                claim.release();
            }
        });
        if closing.await.is_err() {
            tracing::warn!("closing the database panicked");
        }
    }

    /// Runs `work` on the core runtime, to its end even where the caller is dropped or has waited for [`PATIENCE`].
    /// A failure of the database is logged here, once, and reaches the caller as a fixed sentence.
    async fn on_core<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> Result<T> {
        timeout(PATIENCE, self.at_length(what, work)).await.unwrap_or_else(|_| {
            tracing::warn!(what, "the database does not answer");
            Err(Error::DatabaseUnavailable)
        })
    }

    /// The same for work of a caller that writes.
    fn writing<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> {
        self.in_turn(Access::Write, what, work)
    }

    /// The same for work of a caller that reads.
    fn reading<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> {
        self.in_turn(Access::Read, what, work)
    }

    /// The same once it is the turn of whoever is charged for it. A caller that goes away before that gives up its place;
    /// after that the turn lasts as long as the work.
    fn in_turn<T: Send + 'static>(
        &self,
        access: Access,
        what: &'static str,
        work: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> {
        // On the heap: it is moved from one future into the next.
        let (store, work) = (self.clone(), Box::pin(work));
        async move {
            let turn = store.turns().take(access, payer()).await.map_err(|failure| failure.report(what))?;
            let during = async move {
                let done = work.await;
                drop(turn);
                done
            };
            store.on_core(what, during).await
        }
    }

    /// The same without an end to patience, for what nobody waits for but an operator.
    async fn at_length<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = DbResult<T>> + Send + 'static,
    ) -> Result<T> {
        let task =
            self.0.core.spawn(work.map(move |done| done.map_err(|f| f.report(what))).in_current_span());
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, what, "a task of the store panicked");
            Err(Error::Internal)
        })
    }

    /// Begins a transaction that writes, in a turn that the caller has.
    async fn begin(&self) -> DbResult<DatabaseTransaction> {
        let options = match self.0.backend {
            DbBackend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            },
            _ => TransactionOptions { access_mode: Some(AccessMode::ReadWrite), ..Default::default() },
        };
        Ok(self.writer()?.begin_with_options(options).await?)
    }

    fn turns(&self) -> &Turns {
        &self.0.turns
    }

    fn reader(&self) -> &DatabaseConnection {
        &self.0.reader
    }

    /// Returns where to write, in a turn that the caller has, while this process may.
    fn writer(&self) -> DbResult<&DatabaseConnection> {
        self.may_write()?;
        Ok(&self.0.writer)
    }

    fn may_write(&self) -> DbResult<()> {
        self.0.claim.as_ref().map_or(Ok(()), Claim::check)
    }

    fn backend(&self) -> DbBackend {
        self.0.backend
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

/// Returns the options of the writer (one connection) or of the readers. The pragmas are set through sqlx's own
/// options, so that they hold on every connection of the pool.
fn sqlite(path: PathBuf, read_only: bool) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options
        .max_connections(if read_only { READERS } else { 1 })
        .min_connections(1)
        .acquire_timeout(if read_only { ACQUIRE_TIMEOUT } else { Duration::from_secs(5) })
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_sqlite_opts(move |options| {
            options
                .filename(&path)
                .in_memory(false)
                .shared_cache(false)
                .create_if_missing(!read_only)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(5))
                .pragma("query_only", if read_only { "1" } else { "0" })
                // What is deleted is overwritten in the file too. FAST leaves it in pages that become free, and those of a
                // deleted room are just these.
                .pragma("secure_delete", "1")
                .pragma("temp_store", "memory")
                // The page cache of the system lies behind it.
                .pragma("cache_size", if read_only { "-4096" } else { "-8192" })
        })
        // Where the disk is full, SQLite rolls back by itself. sqlx still counts a transaction then, and would begin
        // the next one inside it: what is committed there is not. Such a connection is replaced.
        .map_sqlx_sqlite_pool_opts(|pool| {
            pool.before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
        });
    options
}

/// Returns the options of a PostgreSQL pool. The timeouts bound what a frozen peer or a held lock can cost.
fn postgres(url: &str, connections: u32) -> ConnectOptions {
    postgres_with(url, connections, "auto")
}

/// Returns the same, and says when a prepared statement is planned anew (`plan_cache_mode`).
fn postgres_with(url: &str, connections: u32, planning: &'static str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_postgres_opts(move |options: PgConnectOptions| {
            options.application_name("grpcchatter").options([
                ("lock_timeout", "1s"),
                ("statement_timeout", "2s"),
                ("idle_in_transaction_session_timeout", "5s"),
                ("plan_cache_mode", planning),
            ])
        });
    options
}

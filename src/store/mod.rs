//! The database: accounts, sessions, rooms, members and the log, in SQLite or PostgreSQL.
//!
//! A sqlx connection belongs to the runtime that opened it, so every public method of [`Store`] runs its work on
//! the core runtime and awaits the answer. That is the rule of cancellation too: a caller that is dropped never
//! drops a transaction. No entity leaves this module.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::FutureExt as _;
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, SqliteTransactionMode, Statement, TransactionOptions,
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
mod levels;
mod log;
mod lookup;
mod many;
mod members;
mod people;
mod pool;
mod postgres;
mod retention;
mod rooms;
mod server;
mod sessions;
mod setup;
mod setup_error;
mod sqlite;
#[cfg(test)]
pub(crate) mod temporary;
#[cfg(test)]
mod tests;
mod transaction;
mod turns;

pub use accounts::Credentials;
pub use admin::Sentence;
use claim::Claim;
use failure::Failure;
pub use gate::{charged_to, payer};
pub use history::{Direction, Head, Page, Place};
pub use levels::{DatabaseLevels, PoolLevel};
pub use log::{Appended, Draft, Lane, Lanes, Receipt};
pub use lookup::{FoundRoom, FoundUser};
pub use members::{Membership, Standing};
pub use people::AccountRecord;
use pool::{Pool, Trust};
use postgres::session::SERVING;
pub use postgres::{PostgresUrl, Unfit};
pub use rooms::{NewRoom, RoomPage, RoomRecord};
use server::Server;
pub use sessions::{NewSession, Refreshed, Session, Turn};
pub use setup::Migrated;
pub use setup_error::SetupError;
use transaction::Transaction;
use turns::{Access, Turns};

/// The result of work inside the store: the caller's fault, or the database's.
type DbResult<T> = std::result::Result<T, Failure>;

/// Which database, and where.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file, made where it is missing.
    Sqlite(PathBuf),
    /// A server.
    Postgres(PostgresUrl),
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "Sqlite({})", path.display()),
            Self::Postgres(url) => write!(f, "Postgres({url})"),
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
    writer: Pool,
    /// SQLite: `query_only` connections. PostgreSQL: the same pool as `writer`.
    reader: Pool,
    /// PostgreSQL: the pools of the log's lanes, once they are open. SQLite: none, since they are `writer`.
    lanes: OnceLock<Vec<Pool>>,
    /// Which connections to PostgreSQL are believed in, the lanes' as well.
    trust: Trust,
    /// Who writes next.
    turns: Turns,
    /// PostgreSQL: which one it is.
    server: Arc<Server>,
    /// What keeps other servers out; none for an operator beside one.
    claim: Option<Claim>,
}

/// How long a caller waits for the database in all: one that is silent keeps nobody longer than one that is gone.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// How many connections PostgreSQL's pool has.
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
        let (core, trust) = (Handle::current(), Trust::default());
        let server = Arc::new(Server::new(trust.clone()));
        let (backend, writer, reader, turns, claim) = match url {
            DatabaseUrl::Sqlite(path) => {
                sqlite::look(path)?;
                let claim = Claim::take_file(path)?;
                let writer = sqlite::pool(path.clone(), false).await?;
                let reader = sqlite::pool(path.clone(), true).await?;
                (DbBackend::Sqlite, writer, reader, Turns::at_one_connection(SQLITE_READS), claim)
            }
            DatabaseUrl::Postgres(url) => {
                let look = postgres::server::check(url).await?;
                let claim = Claim::take(url, &clock, &server).await?;
                postgres::close(look).await;
                let pool = postgres::pool(url, POSTGRES_POOL, SERVING, &trust, &server).await?;
                let turns = Turns::beside_the_log(POSTGRES_WRITES, POSTGRES_READS);
                (DbBackend::Postgres, pool.clone(), pool, turns, claim)
            }
        };
        Ok(Self(Arc::new(Inner {
            core,
            clock,
            backend,
            writer,
            reader,
            lanes: OnceLock::new(),
            trust,
            turns,
            server,
            claim: Some(claim),
        })))
    }

    /// Says whether the database answers, and this process may write to it, for /readyz.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] where it does not.
    pub async fn ping(&self) -> Result<()> {
        let store = self.clone();
        self.on_core("ping", async move {
            store.may_write()?;
            let asked = match store.backend() {
                DbBackend::Postgres => {
                    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS no"
                }
                _ => "SELECT FALSE AS no",
            };
            let row = store.reader().query_one_raw(Statement::from_string(store.backend(), asked)).await?;
            match row.map(|row| row.try_get::<bool>("", "no")).transpose()? {
                Some(false) => Ok(()),
                Some(true) | None => {
                    tracing::warn!("the database takes no writes: new connections are opened");
                    store.trust().withdraw();
                    Err(Error::DatabaseUnavailable.into())
                }
            }
        })
        .await
    }

    /// Ends once another process may have taken the database, which happens only where this one's lock was lost. Says why.
    pub async fn taken(&self) -> SetupError {
        match &self.0.claim {
            Some(claim) => claim.taken().await,
            None => std::future::pending().await,
        }
    }

    /// Closes the pools after what is under way is done.
    pub async fn close(&self) {
        let store = self.clone();
        let closing = self.0.core.spawn(async move {
            if let Err(error) = store.0.reader.close().await {
                tracing::warn!(%error, "the readers could not be closed");
            }
            if let Err(error) = store.0.writer.close().await {
                tracing::warn!(%error, "the writer could not be closed");
            }
            for lane in store.0.lanes.get().into_iter().flatten() {
                if let Err(error) = lane.close().await {
                    tracing::warn!(%error, "a lane of the log could not be closed");
                }
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
        let store = self.clone();
        let reported = work.map(move |done| done.map_err(|failure| store.report(failure, what)));
        let task = self.0.core.spawn(reported.in_current_span());
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, what, "a task of the store panicked");
            Err(Error::Internal)
        })
    }

    /// Begins a transaction that writes, in a turn that the caller has.
    async fn begin(&self) -> DbResult<Transaction> {
        let options = match self.0.backend {
            DbBackend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            },
            _ => TransactionOptions::default(),
        };
        self.may_write()?;
        Ok(self.0.writer.begin(options).await?)
    }

    fn turns(&self) -> &Turns {
        &self.0.turns
    }

    fn reader(&self) -> &Pool {
        &self.0.reader
    }

    /// Returns where SQLite is written outside a transaction, in a turn that the caller has, while this process may. On
    /// PostgreSQL such a statement could meet a dead connection, and not be tried again: see [`Self::begin`].
    fn writer(&self) -> DbResult<DatabaseConnection> {
        self.may_write()?;
        Ok(self.0.writer.bare())
    }

    fn trust(&self) -> &Trust {
        &self.0.trust
    }

    /// Logs a failure, and returns what the caller hears. Where the server takes no writes, connections are opened anew: the
    /// address may lead to another by now.
    fn report(&self, failure: Failure, what: &'static str) -> Error {
        if failure.is_read_only() {
            self.trust().withdraw();
        }
        failure.report(what)
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

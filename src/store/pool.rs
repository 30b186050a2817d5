//! A pool of connections that replaces them all once one is found dead.
//!
//! An idle connection dies unseen: the database was restarted, or an operator, a firewall or a timeout of the role ended
//! it. A check before each use would cost every statement a round trip. Instead the *first* statement on a connection may
//! find it dead: nothing has been done on it by then, so the statement is tried once more on another connection. The
//! other connections of that time are probably dead too, so their *generation* is retired. A generation is also retired
//! once the server turns out to take no writes: by now the address may lead to another server.
//!
//! A server that goes silent (its machine is dead, its process frozen, a link drops everything) refuses nothing, and its
//! connections end after a quarter of an hour or never. So each statement has a time limit beyond the server's own
//! (`statement_timeout`), and a statement that passes it retires the generation. A commit has no such limit, since it may
//! wait for a standby for as long as that is away: it ends some time after its generation was retired.
//!
//! A retired generation's pool is closed as a whole and replaced by another, which connects on demand. Its connections
//! cannot be removed one by one: sqlx pings each connection that is returned to the pool, waits for the answer without a
//! limit, and counts the connection meanwhile.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr,
    ExecResult, QueryResult, Statement, TransactionOptions, TransactionTrait as _, sqlx::Connection as _,
};
use tokio::time::timeout;

use super::{failure::is_connection_dead, pool_generation::PoolGeneration, transaction::Transaction};

/// How long the first statement on a connection may take. It may have to wait for a connection, so this is longer than
/// the limit of later statements.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the connections of a retired generation may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A pool. As a [`ConnectionTrait`] it is for reading, since a statement may be run twice. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    current: Arc<Mutex<Connections>>,
    generation: PoolGeneration,
    /// PostgreSQL: how the connections of the next generation are opened. SQLite's connections are permanent.
    reconnect: Option<Arc<ConnectOptions>>,
}

#[derive(Clone, Debug)]
struct Connections {
    generation: u64,
    connections: DatabaseConnection,
}

/// The generation of connections that are never replaced.
const PERMANENT: u64 = u64::MAX;

impl Pool {
    /// Makes a pool of permanent connections.
    pub(super) fn permanent(connections: DatabaseConnection) -> Self {
        let current = Arc::new(Mutex::new(Connections { generation: PERMANENT, connections }));
        Self { current, generation: PoolGeneration::default(), reconnect: None }
    }

    /// Opens a pool whose connections are replaced with each generation.
    ///
    /// # Errors
    /// If not even one connection can be opened.
    pub(super) async fn replaceable(
        options: ConnectOptions,
        generation: PoolGeneration,
    ) -> Result<Self, DbErr> {
        let number = generation.current();
        let connections = Database::connect(options.clone()).await?;
        let mut reconnect = options;
        reconnect.connect_lazy(true);
        let current = Arc::new(Mutex::new(Connections { generation: number, connections }));
        Ok(Self { current, generation, reconnect: Some(Arc::new(reconnect)) })
    }

    /// Returns the connections themselves, for statements that must not be tried twice.
    pub(super) fn bare(&self) -> DatabaseConnection {
        self.current.lock().connections.clone()
    }

    /// Closes the connections for good, once the statements on them are done.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn close(&self) -> Result<(), DbErr> {
        let connections = {
            let mut current = self.current.lock();
            current.generation = PERMANENT;
            current.connections.clone()
        };
        connections.close_by_ref().await
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn begin(&self, options: TransactionOptions) -> Result<Transaction, DbErr> {
        let begin =
            |connections: DatabaseConnection| async move { connections.begin_with_options(options).await };
        let (generation, transaction) = self.retry_if_dead(begin).await?;
        let generation = self.reconnect.is_some().then(|| (self.generation.clone(), generation));
        Ok(Transaction::new(transaction, generation))
    }

    /// Runs the first statement on a connection, and once more on another if that one was dead. Returns the generation too.
    async fn retry_if_dead<T, F: Future<Output = Result<T, DbErr>>>(
        &self,
        statement: impl Fn(DatabaseConnection) -> F,
    ) -> Result<(u64, T), DbErr> {
        let mut may_retry = true;
        loop {
            let Connections { generation, connections } = self.of_current_generation().await?;
            let done = statement(connections);
            let done = if self.reconnect.is_some() {
                self.generation.bounded(generation, FIRST_ANSWER_TIMEOUT, done).await
            } else {
                done.await
            };
            match done {
                // Its generation was retired while it waited for a connection, so it has done nothing.
                Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))
                    if self.is_replaced(generation) => {}
                Err(error) if is_connection_dead(&error) && may_retry => {
                    tracing::debug!(%error, "a connection to the database was dead: taking another");
                    self.generation.retire_generation(generation);
                    may_retry = false;
                }
                done => return done.map(|done| (generation, done)),
            }
        }
    }

    fn is_replaced(&self, generation: u64) -> bool {
        let current = self.current.lock().generation;
        current > generation && current != PERMANENT
    }

    /// Returns the connections of the current generation. None of them need be open yet.
    async fn of_current_generation(&self) -> Result<Connections, DbErr> {
        let number = self.generation.current();
        let is_current = |current: &Connections| current.generation >= number;
        {
            let current = self.current.lock();
            if is_current(&current) {
                return Ok(current.clone());
            }
        }
        let Some(options) = &self.reconnect else { return Ok(self.current.lock().clone()) };
        // Lazy: nothing is connected yet.
        let connections = Database::connect(ConnectOptions::clone(options)).await?;
        let (current, unused) = {
            let mut current = self.current.lock();
            if is_current(&current) {
                (current.clone(), connections)
            } else {
                let replacement = Connections { generation: number, connections };
                let retired = std::mem::replace(&mut *current, replacement);
                (current.clone(), retired.connections)
            }
        };
        close_retired(&unused);
        Ok(current)
    }
}

/// Closes the connections of a retired generation: idle ones at once, the others once they are idle. A caller that waits
/// for one gets [`ConnAcquireErr::ConnectionClosed`].
fn close_retired(connections: &DatabaseConnection) {
    let pool = connections.get_postgres_connection_pool().clone();
    let idle: Vec<_> = std::iter::from_fn(|| pool.try_acquire()).map(|idle| idle.detach()).collect();
    tokio::spawn(async move {
        let closing = async {
            let used = pool.close();
            for idle in idle {
                // The peer may have closed it already.
                drop(idle.close().await);
            }
            used.await;
        };
        // After the timeout a silent connection is left to its socket's timeout.
        drop(timeout(CLOSE_TIMEOUT, closing).await);
    });
}

#[async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        self.current.lock().connections.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let run = |connections: DatabaseConnection| {
            let statement = statement.clone();
            async move { connections.execute_raw(statement).await }
        };
        Ok(self.retry_if_dead(run).await?.1)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let run = |connections: DatabaseConnection| async move { connections.execute_unprepared(sql).await };
        Ok(self.retry_if_dead(run).await?.1)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let run = |connections: DatabaseConnection| {
            let statement = statement.clone();
            async move { connections.query_one_raw(statement).await }
        };
        Ok(self.retry_if_dead(run).await?.1)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let run = |connections: DatabaseConnection| {
            let statement = statement.clone();
            async move { connections.query_all_raw(statement).await }
        };
        Ok(self.retry_if_dead(run).await?.1)
    }
}

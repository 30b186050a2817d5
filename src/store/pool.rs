//! Connections that are kept, and which of them are still believed in.
//!
//! A connection that lies idle dies unseen: the database was restarted, or an operator, a firewall or a timeout of the
//! role ended it. To ask each before it is used would cost every statement a round trip. Instead the *first* statement on
//! a connection may fail so: nothing has been done on it by then, so another connection is taken and the statement is
//! tried once more. The others that were open at that moment are believed in no longer, and are closed instead of used.
//! So are all of them once a server has turned out to take no writes: the address may lead to another one by now.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    Statement, TransactionOptions, TransactionTrait as _,
};

use super::failure::was_dead;
use crate::sparse_log::SparseLog;

/// Since when connections are believed in. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    since: Mutex<Option<Instant>>,
    /// Why new connections cannot be used.
    unusable: SparseLog,
}

impl Default for Inner {
    fn default() -> Self {
        Self { since: Mutex::default(), unusable: SparseLog::new(Duration::from_secs(5)) }
    }
}

impl Trust {
    /// Believes in no connection that is open now.
    pub(super) fn withdraw(&self) {
        *self.0.since.lock() = Some(Instant::now());
    }

    /// Says whether a connection of this age is believed in.
    pub(super) fn covers(&self, age: Duration) -> bool {
        let since = *self.0.since.lock();
        since.is_none_or(|since| age < since.elapsed())
    }

    /// Says why a new connection cannot be used, once in a while: a pool tries again until its caller's time is over.
    pub(super) fn say(&self, error: &dyn std::fmt::Display) {
        if let Some(left_out) = self.0.unusable.left_out() {
            tracing::warn!(%error, left_out, "a new connection to the database cannot be used");
        }
    }
}

/// A pool of connections. As a [`ConnectionTrait`] it is for reading: a statement may be run twice.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    connections: DatabaseConnection,
    trust: Trust,
}

impl Pool {
    pub(super) const fn new(connections: DatabaseConnection, trust: Trust) -> Self {
        Self { connections, trust }
    }

    /// Returns the connections as they are, for what must not be tried twice.
    pub(super) const fn bare(&self) -> &DatabaseConnection {
        &self.connections
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) async fn begin(&self, options: TransactionOptions) -> Result<DatabaseTransaction, DbErr> {
        self.on_a_living_one(|| self.connections.begin_with_options(options)).await
    }

    /// Runs the first statement on a connection, once more on another where that one was dead.
    async fn on_a_living_one<T, F: Future<Output = Result<T, DbErr>>>(
        &self,
        statement: impl Fn() -> F,
    ) -> Result<T, DbErr> {
        match statement().await {
            Err(error) if was_dead(&error) => {
                tracing::debug!(%error, "a connection to the database was dead: taking another");
                self.trust.withdraw();
                statement().await
            }
            done => done,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        self.connections.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.on_a_living_one(|| self.connections.execute_raw(statement.clone())).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.on_a_living_one(|| self.connections.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.on_a_living_one(|| self.connections.query_one_raw(statement.clone())).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.on_a_living_one(|| self.connections.query_all_raw(statement.clone())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_open_when_trust_was_withdrawn_is_not_believed_in() {
        let trust = Trust::default();
        assert!(trust.covers(Duration::from_secs(3_600)));
        trust.withdraw();
        assert!(!trust.covers(Duration::from_secs(3_600)));
    }
}

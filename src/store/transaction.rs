//! A transaction, in which PostgreSQL has to answer each statement in time.
//!
//! A statement that is not answered has changed nothing: the transaction is rolled back with its connection. A commit may be
//! done all the same, which is why it has no bound of its own: it ends with its answer, or once nothing of its era is waited for
//! any more.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::pool::{ANSWER, Trust, silent};

/// The transaction. Where it is dropped it is rolled back, at some later time.
#[derive(Debug)]
pub(crate) struct Transaction {
    transaction: DatabaseTransaction,
    /// PostgreSQL: the era of its connection.
    bound: Option<(Trust, u64)>,
}

impl Transaction {
    pub(super) const fn new(transaction: DatabaseTransaction, bound: Option<(Trust, u64)>) -> Self {
        Self { transaction, bound }
    }

    /// Commits it.
    ///
    /// # Errors
    /// Where the database fails, or is not waited for any more: it may have committed all the same.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        let commit = self.transaction.commit();
        let Some((trust, era)) = self.bound else { return commit.await };
        tokio::select! {
            done = commit => done,
            () = trust.is_over(era) => Err(silent()),
        }
    }

    /// Rolls it back.
    ///
    /// # Errors
    /// Where the database fails. It is rolled back all the same.
    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        let rollback = self.transaction.rollback();
        match self.bound {
            Some((trust, era)) => trust.listen(era, ANSWER, rollback).await,
            None => rollback.await,
        }
    }

    async fn listen<T>(&self, statement: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        match &self.bound {
            Some((trust, era)) => trust.listen(*era, ANSWER, statement).await,
            None => statement.await,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.transaction.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.listen(self.transaction.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.listen(self.transaction.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.listen(self.transaction.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.listen(self.transaction.query_all_raw(statement)).await
    }
}

//! A transaction in which PostgreSQL must answer each statement in time.
//!
//! A statement without an answer has changed nothing: the transaction is rolled back with its connection. A commit may have
//! happened all the same, so it has no time limit of its own. It ends with its answer, or 2.5 s after its connection's
//! generation was retired.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::pool_generation::{ANSWER_TIMEOUT, PoolGeneration, no_answer};

/// The transaction. One that is dropped is rolled back some time later.
#[derive(Debug)]
pub(crate) struct Transaction {
    transaction: DatabaseTransaction,
    /// PostgreSQL: the generation of its connection.
    generation: Option<(PoolGeneration, u64)>,
}

impl Transaction {
    pub(super) const fn new(
        transaction: DatabaseTransaction,
        generation: Option<(PoolGeneration, u64)>,
    ) -> Self {
        Self { transaction, generation }
    }

    /// Commits.
    ///
    /// # Errors
    /// If the database fails or does not answer. It may have committed all the same.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        let commit = self.transaction.commit();
        let Some((generations, generation)) = self.generation else { return commit.await };
        tokio::select! {
            done = commit => done,
            () = generations.commits_given_up(generation) => Err(no_answer()),
        }
    }

    /// Rolls back.
    ///
    /// # Errors
    /// If the database fails or does not answer. It is rolled back all the same.
    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        let rollback = self.transaction.rollback();
        match self.generation {
            Some((generations, generation)) => {
                generations.bounded(generation, ANSWER_TIMEOUT, rollback).await
            }
            None => rollback.await,
        }
    }

    async fn bounded<T>(&self, statement: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        match &self.generation {
            Some((generations, generation)) => {
                generations.bounded(*generation, ANSWER_TIMEOUT, statement).await
            }
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
        self.bounded(self.transaction.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.bounded(self.transaction.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.bounded(self.transaction.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.bounded(self.transaction.query_all_raw(statement)).await
    }
}

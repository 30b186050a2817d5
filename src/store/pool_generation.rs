//! The generation of the connections to PostgreSQL: connections of an earlier generation are not used any more.

use std::{sync::Arc, time::Duration};

use sea_orm::{DbErr, RuntimeErr};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::sparse_log::SparseLog;

/// How long PostgreSQL may take to answer a statement: longer than its own `statement_timeout` of 2 s.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a commit goes on waiting after its generation was retired. Another connection may be dead and this one alive.
const COMMIT_GRACE: Duration = Duration::from_millis(2_500);

/// The current generation of all pools. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct PoolGeneration(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    current: watch::Sender<u64>,
    /// Limits the log lines about new connections that cannot be used.
    unusable: SparseLog,
}

impl Default for Inner {
    fn default() -> Self {
        Self { current: watch::Sender::default(), unusable: SparseLog::new(Duration::from_secs(5)) }
    }
}

impl PoolGeneration {
    /// Returns the number of the current generation.
    pub(super) fn current(&self) -> u64 {
        *self.0.current.borrow()
    }

    /// Retires all connections that are open now.
    pub(super) fn retire(&self) {
        self.0.current.send_modify(|current| *current += 1);
    }

    /// Retires a generation, unless another task has done so already.
    pub(super) fn retire_generation(&self, generation: u64) {
        self.0.current.send_if_modified(|current| {
            let is_current = *current == generation;
            *current += u64::from(is_current);
            is_current
        });
    }

    /// Returns once commits of a generation are not waited for any more: 2.5 s after it was retired.
    pub(super) async fn commits_given_up(&self, generation: u64) {
        // Cannot fail: this handle owns the sender.
        drop(self.0.current.subscribe().wait_for(|current| *current > generation).await);
        sleep(COMMIT_GRACE).await;
    }

    /// Waits for the answer to a statement on a connection of a generation. Retires the generation after `limit`.
    ///
    /// # Errors
    /// The statement's own; [`no_answer`].
    pub(super) async fn bounded<T>(
        &self,
        generation: u64,
        limit: Duration,
        statement: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        timeout(limit, statement).await.unwrap_or_else(|_| {
            self.retire_generation(generation);
            Err(no_answer())
        })
    }

    /// Logs why a new connection cannot be used, at most once in 5 s: a pool tries again until its caller's timeout.
    pub(super) fn report_unusable(&self, error: &dyn std::fmt::Display) {
        if let Some(left_out) = self.0.unusable.left_out() {
            tracing::warn!(%error, left_out, "a new connection to the database cannot be used");
        }
    }
}

/// The failure of a statement that the server does not answer.
pub(super) fn no_answer() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("the server is silent: its connections are given up".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retiring_begins_a_new_generation() {
        let generation = PoolGeneration::default();
        let first = generation.current();
        generation.retire();
        assert!(generation.current() > first);
    }

    #[test]
    fn a_generation_is_retired_once_however_many_find_it_dead() {
        let generation = PoolGeneration::default();
        let first = generation.current();
        for _ in 0..3 {
            generation.retire_generation(first);
        }
        assert_eq!(generation.current(), first + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_server_that_does_not_answer_retires_the_generation() {
        let generation = PoolGeneration::default();
        let first = generation.current();
        generation.bounded(first, ANSWER_TIMEOUT, async { Ok(()) }).await.unwrap();
        assert_eq!(generation.current(), first);
        let silent = std::future::pending::<Result<(), DbErr>>();
        generation.bounded(first, ANSWER_TIMEOUT, silent).await.unwrap_err();
        assert_eq!(generation.current(), first + 1);
        generation.commits_given_up(first).await;
    }
}

//! Connections that are kept, and which of them are still believed in.
//!
//! A connection that lies idle dies unseen: the database was restarted, or an operator, a firewall or a timeout of the
//! role ended it. To ask each before it is used would cost every statement a round trip. Instead the *first* statement on
//! a connection may fail so: nothing has been done on it by then, so another connection is taken and the statement is
//! tried once more. The others that were open at that moment are believed in no longer: an era of connections ends.
//! So it does once a server has turned out to take no writes: the address may lead to another one by now.
//!
//! A server that goes silent (its machine is dead, its process frozen, a link swallows everything) refuses nothing, and its
//! connections end after a quarter of an hour or never. So every statement has a bound of its own, beyond the one that the
//! server itself keeps (`statement_timeout`), and whatever passes it ends the era. A commit has none, since it may wait
//! for a standby for as long as that is away: it ends some time after its era.
//!
//! With its era the whole pool is left behind, for another that opens connections when they are wanted. The connections
//! could not be taken out of it one by one: sqlx asks each that is given back whether it lives, has no bound for the answer,
//! and keeps its place in the pool meanwhile.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr,
    ExecResult, QueryResult, RuntimeErr, Statement, TransactionOptions, TransactionTrait as _,
    sqlx::Connection as _,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{failure::was_dead, transaction::Transaction};
use crate::sparse_log::SparseLog;

/// How long PostgreSQL may take to answer a statement: longer than its own `statement_timeout` lets it.
pub(super) const ANSWER: Duration = Duration::from_secs(3);

/// The same for a statement that has to wait for a connection first.
const ANSWER_ON_ANOTHER: Duration = Duration::from_secs(5);

/// How long a commit goes on waiting once its era is over: the others of that era may be dead and this one alive.
const GRACE: Duration = Duration::from_millis(2_500);

/// How long the connections of an era that is over may take to close.
const CLOSING: Duration = Duration::from_secs(10);

/// Which connections are believed in: those of the present era. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The number of the present era.
    era: watch::Sender<u64>,
    /// Why new connections cannot be used.
    unusable: SparseLog,
}

impl Default for Inner {
    fn default() -> Self {
        Self { era: watch::Sender::default(), unusable: SparseLog::new(Duration::from_secs(5)) }
    }
}

impl Trust {
    /// Believes in no connection that is open now.
    pub(super) fn withdraw(&self) {
        self.0.era.send_modify(|era| *era += 1);
    }

    /// Believes in no connection of an era, of which another may have found out the same already.
    pub(super) fn withdraw_from(&self, era: u64) {
        self.0.era.send_if_modified(|now| {
            let is_the_present = *now == era;
            *now += u64::from(is_the_present);
            is_the_present
        });
    }

    /// Returns the number of the present era.
    pub(super) fn era(&self) -> u64 {
        *self.0.era.borrow()
    }

    /// Ends once nothing of an era is waited for any more.
    pub(super) async fn is_over(&self, era: u64) {
        // The sender is this one's own.
        drop(self.0.era.subscribe().wait_for(|now| *now > era).await);
        sleep(GRACE).await;
    }

    /// Waits for the answer to a statement on a connection of an era. Where it does not come in time, the era is over.
    ///
    /// # Errors
    /// The statement's own; [`silent`].
    pub(super) async fn listen<T>(
        &self,
        era: u64,
        patience: Duration,
        statement: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        timeout(patience, statement).await.unwrap_or_else(|_| {
            self.withdraw_from(era);
            Err(silent())
        })
    }

    /// Says why a new connection cannot be used, once in a while: a pool tries again until its caller's time is over.
    pub(super) fn say(&self, error: &dyn std::fmt::Display) {
        if let Some(left_out) = self.0.unusable.left_out() {
            tracing::warn!(%error, left_out, "a new connection to the database cannot be used");
        }
    }
}

/// The failure of a statement to which the server says nothing.
pub(super) fn silent() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("the server is silent: its connections are given up".to_owned()))
}

/// A pool of connections. As a [`ConnectionTrait`] it is for reading: a statement may be run twice. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    open: Arc<Mutex<Open>>,
    trust: Trust,
    /// PostgreSQL: how the connections of the next era are opened. Those of a file need no other.
    renewal: Option<Arc<ConnectOptions>>,
}

#[derive(Clone, Debug)]
struct Open {
    era: u64,
    connections: DatabaseConnection,
}

/// The era of connections that are never renewed.
const FOR_EVER: u64 = u64::MAX;

impl Pool {
    /// Makes one of connections that stay.
    pub(super) fn fixed(connections: DatabaseConnection) -> Self {
        let open = Arc::new(Mutex::new(Open { era: FOR_EVER, connections }));
        Self { open, trust: Trust::default(), renewal: None }
    }

    /// Opens one whose connections are renewed with each era.
    ///
    /// # Errors
    /// Where not even one connection can be opened.
    pub(super) async fn renewed(options: ConnectOptions, trust: Trust) -> Result<Self, DbErr> {
        let era = trust.era();
        let connections = Database::connect(options.clone()).await?;
        let mut renewal = options;
        renewal.connect_lazy(true);
        let open = Arc::new(Mutex::new(Open { era, connections }));
        Ok(Self { open, trust, renewal: Some(Arc::new(renewal)) })
    }

    /// Returns the connections as they are, for what must not be tried twice.
    pub(super) fn bare(&self) -> DatabaseConnection {
        self.open.lock().connections.clone()
    }

    /// Closes the connections after what is under way is done, for good.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) async fn close(&self) -> Result<(), DbErr> {
        let connections = {
            let mut open = self.open.lock();
            open.era = FOR_EVER;
            open.connections.clone()
        };
        connections.close_by_ref().await
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) async fn begin(&self, options: TransactionOptions) -> Result<Transaction, DbErr> {
        let begin =
            |connections: DatabaseConnection| async move { connections.begin_with_options(options).await };
        let (era, transaction) = self.on_a_living_one(begin).await?;
        let bound = self.renewal.is_some().then(|| (self.trust.clone(), era));
        Ok(Transaction::new(transaction, bound))
    }

    /// Runs the first statement on a connection, once more on another where that one was dead. Returns the era too.
    async fn on_a_living_one<T, F: Future<Output = Result<T, DbErr>>>(
        &self,
        statement: impl Fn(DatabaseConnection) -> F,
    ) -> Result<(u64, T), DbErr> {
        let mut may_try_again = true;
        loop {
            let Open { era, connections } = self.of_this_era().await?;
            let done = statement(connections);
            let done = if self.renewal.is_some() {
                self.trust.listen(era, ANSWER_ON_ANOTHER, done).await
            } else {
                done.await
            };
            match done {
                // It waited for a connection while the era ended, and has done nothing.
                Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)) if self.is_renewed(era) => {}
                Err(error) if was_dead(&error) && may_try_again => {
                    tracing::debug!(%error, "a connection to the database was dead: taking another");
                    self.trust.withdraw_from(era);
                    may_try_again = false;
                }
                done => return done.map(|done| (era, done)),
            }
        }
    }

    fn is_renewed(&self, era: u64) -> bool {
        let now = self.open.lock().era;
        now > era && now != FOR_EVER
    }

    /// Returns the connections of the present era, of which none has to be open yet.
    async fn of_this_era(&self) -> Result<Open, DbErr> {
        let era = self.trust.era();
        let is_of_it = |open: &Open| open.era >= era;
        {
            let open = self.open.lock();
            if is_of_it(&open) {
                return Ok(open.clone());
            }
        }
        let Some(options) = &self.renewal else { return Ok(self.open.lock().clone()) };
        // It connects to nothing yet.
        let connections = Database::connect(ConnectOptions::clone(options)).await?;
        let (open, left) = {
            let mut open = self.open.lock();
            if is_of_it(&open) {
                (open.clone(), connections)
            } else {
                let left = std::mem::replace(&mut *open, Open { era, connections });
                (open.clone(), left.connections)
            }
        };
        leave(&left);
        Ok(open)
    }
}

/// Closes the connections of an era that is over: those that are free at once, those that are in use after that. Whoever
/// waits for one hears that there is none.
fn leave(connections: &DatabaseConnection) {
    let pool = connections.get_postgres_connection_pool().clone();
    let free: Vec<_> = std::iter::from_fn(|| pool.try_acquire()).map(|free| free.detach()).collect();
    tokio::spawn(async move {
        let closing = async {
            let used = pool.close();
            for free in free {
                // The other side may have closed it already.
                drop(free.close().await);
            }
            used.await;
        };
        // What is silent ends when its socket does.
        drop(timeout(CLOSING, closing).await);
    });
}

#[async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        self.open.lock().connections.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let run = |connections: DatabaseConnection| {
            let statement = statement.clone();
            async move { connections.execute_raw(statement).await }
        };
        Ok(self.on_a_living_one(run).await?.1)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let run = |connections: DatabaseConnection| async move { connections.execute_unprepared(sql).await };
        Ok(self.on_a_living_one(run).await?.1)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let run = |connections: DatabaseConnection| {
            let statement = statement.clone();
            async move { connections.query_one_raw(statement).await }
        };
        Ok(self.on_a_living_one(run).await?.1)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let run = |connections: DatabaseConnection| {
            let statement = statement.clone();
            async move { connections.query_all_raw(statement).await }
        };
        Ok(self.on_a_living_one(run).await?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_open_when_trust_was_withdrawn_is_not_believed_in() {
        let trust = Trust::default();
        let first = trust.era();
        trust.withdraw();
        assert!(trust.era() > first);
    }

    #[test]
    fn many_who_find_the_same_connections_dead_end_one_era() {
        let trust = Trust::default();
        let first = trust.era();
        for _ in 0..3 {
            trust.withdraw_from(first);
        }
        assert_eq!(trust.era(), first + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_ends_the_era_and_one_that_answers_does_not() {
        let trust = Trust::default();
        let era = trust.era();
        trust.listen(era, ANSWER, async { Ok(()) }).await.unwrap();
        assert_eq!(trust.era(), era);
        trust.listen(era, ANSWER, std::future::pending::<Result<(), DbErr>>()).await.unwrap_err();
        assert_eq!(trust.era(), era + 1);
        // What is of that era is waited for no longer.
        trust.is_over(era).await;
    }
}

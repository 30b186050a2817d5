//! Runs a server that was built, until it is shut down.

use std::{net::SocketAddr, time::Duration};

use tokio::{runtime::Runtime, time::timeout};

use super::{background::Background, drain::Drain, shard_threads::ShardThreads, start_error::StartError};
use crate::{
    config::DataDir,
    domain::Tasks,
    gateway::{Listener, Shards, Tls},
    store::Store,
};

/// Time for the database to close. With the drain and the last tasks, shutting down takes less than 10 s after `DRAIN_DELAY`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for the core runtime's last tasks to end.
const CORE_TIMEOUT: Duration = Duration::from_millis(250);

/// A server with its addresses bound and its database open, ready to run.
pub struct App {
    pub(super) runtime: Runtime,
    pub(super) store: Store,
    pub(super) tasks: Tasks,
    pub(super) background: Background,
    pub(super) shards: ShardThreads,
    pub(super) drain: Drain,
    /// Where the database is, without secrets.
    pub(super) database: String,
    pub(super) listeners: Vec<Listener>,
    pub(super) local_addrs: Vec<SocketAddr>,
    /// Unlocked last of all.
    pub(super) data_dir: DataDir,
}

impl App {
    /// Returns the bound addresses, with the ports that the system chose.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Returns the handle to the certificate; `None` without TLS.
    pub fn tls(&self) -> Option<&Tls> {
        self.shards.tls.as_ref()
    }

    /// Serves until `shutdown` completes, and then until every stream has ended with a status and every accepted
    /// message is stored.
    ///
    /// # Errors
    /// Where a thread cannot be started, or another server has taken over the database.
    pub fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), StartError> {
        let Self {
            runtime,
            store,
            tasks,
            background,
            shards,
            drain,
            database,
            listeners,
            local_addrs,
            data_dir,
        } = self;
        let (shards, threads) = shards.start()?;
        background.start(&tasks);
        accept(listeners, &shards, &drain, &tasks);
        drop(shards);
        let (outcome, is_log_closed) = runtime.block_on(async {
            drain.health.set(true);
            tracing::info!(addresses = ?local_addrs, "serving");
            let outcome = tokio::select! {
                () = shutdown => Ok(()),
                cause = store.lock_lost() => Err(StartError::Database { at: database, cause }),
            };
            let is_log_closed = drain.run().await;
            if timeout(CORE_TIMEOUT, tasks.stop()).await.is_err() {
                tracing::warn!("a background task does not end: it is dropped");
            }
            (outcome, is_log_closed)
        });
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a shard panicked");
            }
        }
        // A writer that goes on would lose SQLite's locks: they end as soon as the process closes any handle to the file.
        runtime.block_on(async {
            if !is_log_closed {
                tracing::warn!(
                    "the log does not end in time: the database is left to the end of the process"
                );
            } else if timeout(CLOSE_TIMEOUT, store.close()).await.is_err() {
                tracing::warn!("the database does not answer: its connections are cut");
            }
        });
        runtime.shutdown_timeout(CORE_TIMEOUT);
        if is_log_closed {
            drop(data_dir);
        } else {
            // It stays locked until the process has ended.
            std::mem::forget(data_dir);
        }
        tracing::info!("stopped");
        outcome
    }
}

/// Accepts connections on every address until the drain stops it.
fn accept(listeners: Vec<Listener>, shards: &Shards, drain: &Drain, tasks: &Tasks) {
    for listener in listeners {
        let (shards, limit, stop) =
            (shards.clone(), drain.connection_limit.clone(), drain.stop_accepting.clone());
        tasks.spawn(async move {
            if let Err(error) = listener.run(shards, limit, stop).await {
                tracing::error!(%error, "an address cannot be served");
            }
        });
    }
}

//! Removes expired sessions and old messages from the database at regular intervals.

use std::time::Duration;

use tokio::time::sleep;

use crate::{clock::Clock, store::Store};

/// The interval of sweeps, unless RETENTION is short.
const INTERVAL: Duration = Duration::from_secs(60);

/// How many sessions or messages one transaction removes. On SQLite all writes wait for it, so it may take no more than
/// some milliseconds.
const MAX_ROWS: u64 = 200;

/// Removes expired sessions, the messages of deleted rooms, and those older than RETENTION.
pub(super) struct Sweeper {
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// The age at which messages are removed; `None`: never.
    pub(super) retention: Option<Duration>,
}

impl Sweeper {
    /// Sweeps until it is dropped. The store logs failures, and the next sweep tries again.
    pub(super) async fn run(self) {
        // A short RETENTION is swept more often, so that messages do not stay much longer.
        let interval =
            self.retention.map_or(INTERVAL, |age| (age / 10).clamp(Duration::from_secs(1), INTERVAL));
        loop {
            self.sweep().await;
            // The WAL holds deleted data too. If it cannot be truncated now, the next sweep tries again.
            if let Ok(false) = self.store.checkpoint().await {
                tracing::debug!("the journal is being read and could not be cut");
            }
            sleep(interval).await;
        }
    }

    /// Sweeps once.
    async fn sweep(&self) {
        if let Err(error) = self.store.end_expired_sessions(MAX_ROWS).await {
            tracing::debug!(%error, "expired sessions could not be swept up");
        }
        if let Err(error) = self.store.sweep_messages(MAX_ROWS).await {
            tracing::debug!(%error, "messages of deleted rooms could not be removed");
        }
        if let Some(age) = self.retention
            && let Ok(removed @ 1..) = self.store.expire_messages(self.clock.now() - age, MAX_ROWS).await
        {
            tracing::info!(removed, "messages older than RETENTION were removed");
        }
    }
}

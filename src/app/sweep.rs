//! What is no longer wanted in the database is looked for now and then, and removed.

use std::time::Duration;

use tokio::time::sleep;

use crate::{clock::Clock, store::Store};

/// How often it is looked for.
const INTERVAL: Duration = Duration::from_secs(60);

/// How many sessions or messages one transaction removes. On SQLite everybody who writes waits for it, so it has to last no
/// more than some milliseconds.
const AT_ONCE: u64 = 200;

/// Removes expired sessions, the messages of deleted rooms, and those older than RETENTION.
pub(super) struct Sweeper {
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// The age at which messages are removed; none: never.
    pub(super) retention: Option<Duration>,
}

impl Sweeper {
    /// Sweeps until it is dropped. What fails is logged by the store, and tried again later.
    pub(super) async fn run(self) {
        // Nothing stays much longer than it should: what is to be kept for minutes is looked for within seconds.
        let interval =
            self.retention.map_or(INTERVAL, |age| (age / 10).clamp(Duration::from_secs(1), INTERVAL));
        loop {
            self.sweep().await;
            // The journal holds what callers deleted, too. Where it cannot be cut now, the next sweep does it.
            if let Ok(false) = self.store.checkpoint().await {
                tracing::debug!("the journal is being read and could not be cut");
            }
            sleep(interval).await;
        }
    }

    /// Sweeps once.
    async fn sweep(&self) {
        if let Err(error) = self.store.end_expired_sessions(AT_ONCE).await {
            tracing::debug!(%error, "expired sessions could not be swept up");
        }
        if let Err(error) = self.store.sweep_messages(AT_ONCE).await {
            tracing::debug!(%error, "messages of deleted rooms could not be removed");
        }
        if let Some(age) = self.retention
            && let Ok(removed @ 1..) = self.store.expire_messages(self.clock.now() - age, AT_ONCE).await
        {
            tracing::info!(removed, "messages older than RETENTION were removed");
        }
    }
}

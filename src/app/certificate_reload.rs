//! Reloads the certificate when its files change, so that a new one needs no signal.

use std::time::Duration;

use crate::gateway::Tls;

/// How often the files are checked.
const INTERVAL: Duration = Duration::from_secs(5);

/// Checks the files until it is dropped.
pub(super) async fn watch(tls: Tls) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let tls = tls.clone();
        // It reads files. The runtime logs a panic, and the next tick tries again.
        drop(tokio::task::spawn_blocking(move || tls.reload_if_changed()).await);
    }
}

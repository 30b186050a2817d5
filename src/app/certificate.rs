//! The certificate's files are compared with what is served, so that a new one needs no signal.

use std::time::Duration;

use crate::gateway::Tls;

/// How often they are compared.
const INTERVAL: Duration = Duration::from_secs(5);

/// Compares them until it is dropped.
pub(super) async fn watch(tls: Tls) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let tls = tls.clone();
        // It reads files. A panic in it is told by the runtime, and the next turn tries again.
        drop(tokio::task::spawn_blocking(move || tls.reload_if_changed()).await);
    }
}

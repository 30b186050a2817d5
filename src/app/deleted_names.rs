//! Drops the names of deleted accounts from memory within a second, and again once messages that their owners sent just
//! before are published. This covers accounts that an operator deleted, and deletions that took longer than their caller
//! waited. When a user deletes their own account, `domain/accounts` drops its name before the call returns.

use std::time::Duration;

use tokio::time::sleep;

use crate::{domain::NameCache, hub::Hub, store::Store};

/// How often to look for deletions.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks for deletions until it is dropped. A room that is opened later reads current names.
pub(super) async fn watch(store: Store, hub: Hub, names: NameCache) {
    let mut latest = None;
    loop {
        sleep(INTERVAL).await;
        if hub.rooms().is_empty() {
            continue;
        }
        match store.last_deletion().await {
            Ok(deletion) if deletion != latest => {
                latest = deletion;
                names.invalidate();
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "deleted accounts could not be looked up"),
        }
    }
}

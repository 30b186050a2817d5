//! Names of deleted accounts are forgotten within a second, and once more when what their owners said just before has been
//! published: those that an operator deleted beside this server, and those whose deletion took longer than its caller waited.
//! Whoever deletes their own account has it forgotten before they hear so, which is not done here.

use std::time::Duration;

use tokio::time::sleep;

use crate::{domain::Chat, hub::Hub, store::Store};

/// How often it is looked for deletions.
const INTERVAL: Duration = Duration::from_secs(1);

/// Forgets them until it is dropped. A room that is opened later reads names as they are then.
pub(super) async fn forget_deleted(store: Store, hub: Hub, chat: Chat) {
    let mut known = None;
    loop {
        sleep(INTERVAL).await;
        if hub.rooms().is_empty() {
            continue;
        }
        match store.last_deletion().await {
            Ok(last) if last != known => {
                known = last;
                chat.forget_names();
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "deleted accounts could not be looked for"),
        }
    }
}

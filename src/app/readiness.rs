//! Says whether requests are welcome, for `/readyz`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{gateway::Readiness, model::Error, store::Store};

/// They are while the database answers and nothing is being shut down.
pub(super) fn readiness(store: Store, draining: Arc<AtomicBool>) -> Readiness {
    Arc::new(move || {
        let (store, draining) = (store.clone(), Arc::clone(&draining));
        Box::pin(async move {
            if draining.load(Ordering::Relaxed) { Err(Error::Draining) } else { store.ping().await }
        })
    })
}

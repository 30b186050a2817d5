//! The readiness check behind `/readyz`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{gateway::Readiness, model::Error, store::Store};

/// Returns the check: the server is ready while the database answers and no drain runs.
pub(super) fn readiness(store: Store, draining: Arc<AtomicBool>) -> Readiness {
    Arc::new(move || {
        let (store, draining) = (store.clone(), Arc::clone(&draining));
        Box::pin(async move {
            if draining.load(Ordering::Relaxed) { Err(Error::Draining) } else { store.ping().await }
        })
    })
}

//! The state of the REST handlers.

use std::{fmt, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};

use crate::{domain::Accounts, metrics::Gauges, model::Result};

/// The state that every handler gets.
#[derive(Clone)]
pub(in crate::gateway) struct RestState {
    pub(in crate::gateway) accounts: Accounts,
    pub(in crate::gateway) readiness: Readiness,
    pub(in crate::gateway) gauges: ReadGauges,
    /// METRICS_TOKEN; none: /metrics serves this machine only.
    pub(in crate::gateway) metrics_token: Option<MetricsToken>,
    /// A folder whose files are served instead of the compiled page.
    pub(in crate::gateway) web_dir: Option<PathBuf>,
}

/// Returns whether the server is ready: its database responds, and it is not shutting down.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// Reads the gauges.
pub type ReadGauges = Arc<dyn Fn() -> Gauges + Send + Sync>;

/// The bearer token of /metrics. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct MetricsToken(String);

impl MetricsToken {
    /// Wraps a text.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Compares digests, so that the duration reveals nothing about the token.
    pub(super) fn is(&self, presented: &[u8]) -> bool {
        Sha256::digest(&self.0) == Sha256::digest(presented)
    }
}

impl fmt::Debug for MetricsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsToken(…)")
    }
}

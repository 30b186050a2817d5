//! The secrets among the settings: what signs tokens, and the token for /metrics.

use std::fmt;

use super::value::Parsed;
use crate::crypto;

/// Where the secrets that sign tokens come from.
#[derive(Clone, Debug)]
pub enum Secrets {
    /// From the settings.
    Given(crypto::Secrets),
    /// From `DATA_DIR/secret`, which is made on the first run: [`super::DataDir::secrets`].
    Kept,
}

/// Reads a comma-separated list of secrets. Never repeats the text.
pub(super) fn secrets(text: &str) -> Parsed<crypto::Secrets> {
    crypto::Secrets::parse(text).map_err(|error| format!("cannot be used: {error}"))
}

/// The bearer token that /metrics asks for. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct MetricsToken(String);

impl MetricsToken {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the text. Only comparing it with a caller's may ask for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MetricsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsToken(…)")
    }
}

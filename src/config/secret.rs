//! The secrets that sign tokens, among the settings.

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

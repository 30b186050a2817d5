//! The setting of the secrets that sign tokens.

use super::value::Parsed;
use crate::crypto;

/// Where the secrets that sign tokens come from.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// From the settings.
    Settings(crypto::Secrets),
    /// From the file `DATA_DIR/secret`, which is created on the first run: [`super::DataDir::secrets`].
    DataDir,
}

/// Reads a comma-separated list of secrets. Never repeats the text.
pub(super) fn secrets(text: &str) -> Parsed<crypto::Secrets> {
    crypto::Secrets::parse(text).map_err(|error| format!("cannot be used: {error}"))
}

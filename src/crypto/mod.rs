//! Passwords and tokens: argon2id, HS256, and keys derived for each purpose.
//!
//! Every key is derived from the one configured secret, for one purpose. So a token that was signed for one purpose is
//! never valid for another. No other signature algorithm is compiled in.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod jwt;
mod keys;
mod passwords;
mod refresh;
mod secret;

pub use keys::Keys;
pub use passwords::{Passwords, QueueSlot, Verdict};
pub use refresh::RefreshToken;
pub use secret::{Secret, SecretError, Secrets};

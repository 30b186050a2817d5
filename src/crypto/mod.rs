//! Passwords and tokens: argon2id, HS256, and keys derived for each purpose.
//!
//! One secret is set; every key is derived from it for one purpose, so that what was signed for one can never
//! pass for another. No other signature algorithm is compiled in.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod jwt;
mod keys;
mod passwords;
mod refresh;
mod secret;

pub use keys::Keys;
pub use passwords::{Passwords, Place, Verdict};
pub use refresh::RefreshToken;
pub use secret::{Secret, SecretError, Secrets};

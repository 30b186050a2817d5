//! The secrets from which keys are derived.

use std::fmt;

use crate::clock::Clock;

/// The secret in the original's settings file, which is public.
const PUBLISHED: &str = "12345678901234567890123456789012";

/// The reason why a text cannot be a secret. The sentence says how to make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It is short enough to be guessed.
    #[error("a secret needs at least {} bytes; make one with `openssl rand -hex 32`", Secret::MIN_BYTES)]
    TooShort,
    /// It is published in the original's sources.
    #[error("this secret is known to everybody; make one with `openssl rand -hex 32`")]
    Published,
}

/// A secret. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Minimum length, in bytes: the length of an HS256 key (RFC 7518, section 3.2).
    pub const MIN_BYTES: usize = 32;

    /// Checks the length, and that it is not the published one.
    ///
    /// # Errors
    /// [`SecretError`] if it is too short or published.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text == PUBLISHED {
            Err(SecretError::Published)
        } else if text.len() < Self::MIN_BYTES {
            Err(SecretError::TooShort)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// Generates a secret of 256 random bits, in hexadecimal.
    pub fn generate(clock: &Clock) -> Self {
        Self(clock.random::<32>().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Returns the text. Use it only to derive keys, or to save a new secret to disk.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A list of secrets. The first one signs and all verify, so a secret can be replaced without ending sessions.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub(super) signing: Secret,
    pub(super) retired: Vec<Secret>,
}

impl Secrets {
    /// Parses a comma-separated list.
    ///
    /// # Errors
    /// [`SecretError`] if any of them is too short or published.
    pub fn parse(list: &str) -> Result<Self, SecretError> {
        let mut secrets = list.split(',').map(|text| Secret::parse(text.trim()));
        let signing = secrets.next().unwrap_or(Err(SecretError::TooShort))?;
        Ok(Self { signing, retired: secrets.collect::<Result<_, _>>()? })
    }
}

impl From<Secret> for Secrets {
    fn from(signing: Secret) -> Self {
        Self { signing, retired: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_or_published_secret_is_refused_with_a_remedy() {
        for (text, error) in [
            ("", SecretError::TooShort),
            ("short", SecretError::TooShort),
            (&"x".repeat(31), SecretError::TooShort),
            (PUBLISHED, SecretError::Published),
        ] {
            assert_eq!(Secret::parse(text), Err(error));
            assert!(error.to_string().contains("openssl rand -hex 32"));
        }
        assert!(Secret::parse(&"x".repeat(32)).is_ok());
    }

    #[test]
    fn every_secret_of_a_list_is_checked() {
        let (valid, other) = ("a".repeat(32), "b".repeat(32));
        let secrets = Secrets::parse(&format!("{valid}, {other}")).unwrap();
        assert_eq!(secrets.signing.expose(), valid);
        assert_eq!(secrets.retired[0].expose(), other);
        assert!(Secrets::parse(&format!("{valid},")).is_err());
        assert!(Secrets::parse(&format!("{valid},{PUBLISHED}")).is_err());
    }

    #[test]
    fn a_generated_secret_is_valid_and_hidden() {
        let secret = Secret::generate(&Clock::system());
        assert_eq!(secret.expose().len(), 64);
        assert_eq!(Secret::parse(secret.expose()), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}

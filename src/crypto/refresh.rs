//! Refresh tokens: a session, a generation, and an HMAC over both.
//!
//! The database keeps only the SHA-256 of the current token and of the previous one. A token is a function of session and
//! generation, so a client that lost the answer to a refresh can get the same answer again.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Keys;
use crate::model::{Error, Result, SessionId};

/// Session (16 bytes), generation (8), HMAC-SHA256 (32).
const BYTES: usize = 56;
const SIGNED: usize = 24;

/// A refresh token that was made or verified here. Its `Debug` hides it.
#[derive(Clone)]
pub struct RefreshToken {
    /// The session that it refreshes.
    pub session: SessionId,
    /// The session's generation when it was issued.
    pub generation: i64,
    bytes: [u8; BYTES],
}

impl RefreshToken {
    /// Returns the token's text, for the client.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes)
    }

    /// Returns the token's hash, for the database.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.expose()).to_vec()
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken({:?}, generation {})", self.session, self.generation)
    }
}

impl Keys {
    /// Makes the token of a session's generation.
    pub fn refresh_token(&self, session: SessionId, generation: i64) -> RefreshToken {
        make(&self.rings()[0].refresh, session, generation)
    }

    /// Finds the token of a session's generation that has this hash. Any secret of the list may have made it, not only
    /// the one that signs now.
    pub fn refresh_token_of(&self, session: SessionId, generation: i64, hash: &[u8]) -> Option<RefreshToken> {
        self.rings()
            .iter()
            .map(|ring| make(&ring.refresh, session, generation))
            .find(|token| token.hash() == hash)
    }

    /// Verifies a token that a client presents.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`] if it was not made here.
    pub fn read_refresh_token(&self, text: &str) -> Result<RefreshToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::TokenInvalid)?;
        let bytes: [u8; BYTES] = bytes.try_into().map_err(|_| Error::TokenInvalid)?;
        let (signed, mac) = bytes.split_at(SIGNED);
        if !self.rings().iter().any(|ring| hmac(&ring.refresh, signed).verify_slice(mac).is_ok()) {
            return Err(Error::TokenInvalid);
        }
        let (session, generation) = signed.split_at(16);
        Ok(RefreshToken {
            session: SessionId(Uuid::from_slice(session).map_err(|_| Error::TokenInvalid)?),
            generation: i64::from_be_bytes(generation.try_into().map_err(|_| Error::TokenInvalid)?),
            bytes,
        })
    }
}

fn make(key: &[u8; 32], session: SessionId, generation: i64) -> RefreshToken {
    let mut bytes = [0; BYTES];
    bytes[..16].copy_from_slice(session.0.as_bytes());
    bytes[16..SIGNED].copy_from_slice(&generation.to_be_bytes());
    let mac = hmac(key, &bytes[..SIGNED]).finalize().into_bytes();
    bytes[SIGNED..].copy_from_slice(&mac);
    RefreshToken { session, generation, bytes }
}

fn hmac(key: &[u8; 32], message: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length").chain_update(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        crypto::{Secret, Secrets},
    };

    #[test]
    fn a_refresh_token_is_a_function_of_session_and_generation() {
        let keys = Keys::new(&Secret::generate(&Clock::system()).into());
        let session = SessionId(Clock::system().uuid());
        let token = keys.refresh_token(session, 3);
        assert_eq!(token.expose(), keys.refresh_token(session, 3).expose());
        assert_ne!(token.expose(), keys.refresh_token(session, 4).expose());
        let read = keys.read_refresh_token(&token.expose()).unwrap();
        assert_eq!((read.session, read.generation, read.hash()), (session, 3, token.hash()));
        assert!(!format!("{token:?}").contains(&token.expose()));
    }

    #[test]
    fn a_forged_refresh_token_is_invalid() {
        let keys = Keys::new(&Secret::generate(&Clock::system()).into());
        let foreign = Keys::new(&Secret::generate(&Clock::system()).into());
        let session = SessionId(Clock::system().uuid());
        let token = keys.refresh_token(session, 3).expose();
        let mut altered = token.clone().into_bytes();
        altered[30] = if altered[30] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        for forged in [
            "",
            "a.b.c",
            &altered,
            &token[1..],
            &format!("{token}A"),
            &foreign.refresh_token(session, 3).expose(),
        ] {
            assert!(matches!(keys.read_refresh_token(forged), Err(Error::TokenInvalid)), "{forged}");
        }
    }

    #[test]
    fn a_token_of_a_retired_secret_is_found() {
        let (old, new) = ("o".repeat(32), "n".repeat(32));
        let before = Keys::new(&Secrets::parse(&old).unwrap());
        let after = Keys::new(&Secrets::parse(&format!("{new},{old}")).unwrap());
        let session = SessionId(Clock::system().uuid());
        let token = before.refresh_token(session, 1);
        assert!(after.read_refresh_token(&token.expose()).is_ok());
        assert_ne!(after.refresh_token(session, 1).expose(), token.expose());
        let found = after.refresh_token_of(session, 1, &token.hash()).unwrap();
        assert_eq!(found.expose(), token.expose());
    }
}

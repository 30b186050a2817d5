//! Tokens for users who never logged in, made from a token that the gateway signed.

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::server::SECRET;

/// Longer than the case takes.
const LIFETIME: i64 = 24 * 60 * 60;

/// Signs tokens of one kind.
pub(super) struct TokenSigner {
    header: String,
    claims: Map<String, Value>,
    mac: Hmac<Sha256>,
}

impl TokenSigner {
    /// Takes header and claims from a token. `purpose` is what the gateway derives the key of this kind for.
    pub(super) fn new(token: &str, purpose: &str) -> Result<Self> {
        let (header, rest) = token.split_once('.').context("a token without claims")?;
        let (claims, _) = rest.split_once('.').context("a token without a signature")?;
        let mut claims: Map<_, _> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        let issued_at = claims.get("iat").and_then(Value::as_i64).context("no iat in a token")?;
        claims.insert("exp".into(), (issued_at + LIFETIME).into());
        let mut key = [0; 32];
        let derived = Hkdf::<Sha256>::new(None, SECRET.as_bytes()).expand(purpose.as_bytes(), &mut key);
        derived.ok().context("HKDF derives 32 bytes")?;
        Ok(Self { header: header.to_owned(), claims, mac: Hmac::new_from_slice(&key)? })
    }

    /// Returns when the token was issued, in seconds.
    pub(super) fn issued_at(&self) -> i64 {
        self.claims.get("iat").and_then(Value::as_i64).unwrap_or_default()
    }

    /// Signs a token with other claims.
    pub(super) fn sign<const N: usize>(&self, claims: [(&str, Value); N]) -> String {
        let mut all = self.claims.clone();
        all.extend(claims.map(|(name, value)| (name.to_owned(), value)));
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(Value::Object(all).to_string()));
        let signature = self.mac.clone().chain_update(&signed).finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

//! Forged tokens. The tests know the server's secret, so they can sign tokens that the server would never issue.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// A decoded token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    pub(crate) signature: Vec<u8>,
}

impl Token {
    /// Decodes a token.
    pub(crate) fn parse(token: &str) -> Self {
        let parts: Vec<_> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        let [header, claims, signature] = parts.try_into().unwrap();
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap();
        Self { header: json(&header), claims: json(&claims), signature }
    }

    /// Changes a claim.
    pub(crate) fn claiming(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Changes a field of the header.
    pub(crate) fn heading(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// Returns the token with its original signature, which fits only an unchanged token.
    pub(crate) fn unsigned(&self) -> String {
        self.with_signature(&self.signature)
    }

    /// Returns the token with this signature.
    pub(crate) fn with_signature(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.content(), URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the token, signed with the key that is derived from a secret for a purpose, such as `jwt/user/1`.
    pub(crate) fn signed(&self, secret: &str, purpose: &str) -> String {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, secret.as_bytes()).expand(purpose.as_bytes(), &mut key).unwrap();
        self.signed_with(&key)
    }

    /// Returns the token, signed with this key.
    pub(crate) fn signed_with(&self, key: &[u8]) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(self.content());
        self.with_signature(&mac.finalize().into_bytes())
    }

    fn content(&self) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}", encode(&self.header), encode(&self.claims))
    }
}

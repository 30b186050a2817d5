//! Tokens that the server has not issued, signed with its secret, which tests and benchmarks know.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// A decoded token.
#[derive(Clone, Debug)]
pub struct Token {
    /// Names the algorithm and the key.
    pub header: Value,
    /// What the token says.
    pub claims: Value,
    /// The signature that it came with.
    pub signature: Vec<u8>,
}

impl Token {
    /// Decodes a token.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn parse(token: &str) -> Self {
        let decode = |part| URL_SAFE_NO_PAD.decode(part).expect("base64");
        let parts: Vec<_> = token.split('.').map(decode).collect();
        let [header, claims, signature] = parts.try_into().expect("three parts");
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).expect("JSON");
        Self { header: json(&header), claims: json(&claims), signature }
    }

    /// Changes a claim.
    #[must_use]
    pub fn claiming(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Changes a field of the header.
    #[must_use]
    pub fn heading(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// Returns the token with its original signature, which fits only an unchanged token.
    #[must_use]
    pub fn unsigned(&self) -> String {
        self.with_signature(&self.signature)
    }

    /// Returns the token with this signature.
    #[must_use]
    pub fn with_signature(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.content(), URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the token, signed with the key that is derived from a secret for a purpose, such as `jwt/user/1`.
    ///
    /// # Panics
    /// Never: HKDF derives a key of this length.
    #[must_use]
    pub fn signed(&self, secret: &str, purpose: &str) -> String {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, secret.as_bytes()).expand(purpose.as_bytes(), &mut key).expect("32 bytes");
        self.signed_with(&key)
    }

    /// Returns the token, signed with this key.
    ///
    /// # Panics
    /// Never: HMAC takes a key of any length.
    #[must_use]
    pub fn signed_with(&self, key: &[u8]) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(key).expect("any length").chain_update(self.content());
        self.with_signature(&mac.finalize().into_bytes())
    }

    fn content(&self) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}", encode(&self.header), encode(&self.claims))
    }
}

use std::{sync::Arc, time::Duration};

use hkdf::Hkdf;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;

use super::{Secret, Secrets, jwt};
use crate::model::{Error, Result, Timestamp, TokenKind};

/// The longest token that is looked at, in bytes. The longest that is made, for a name of 255
/// control characters, has some 2,700.
const MAX_TOKEN_BYTES: usize = 4096;

/// How far the clocks of two instances may differ.
const LEEWAY: Duration = Duration::from_secs(5);

const KINDS: [TokenKind; 3] = [TokenKind::User, TokenKind::Room, TokenKind::Chat];

/// Signs and verifies tokens. Clones share the same keys.
#[derive(Clone)]
pub struct Keys(Arc<[KeyRing]>);

/// The keys of one secret. The ring of the first secret signs.
pub(super) struct KeyRing {
    /// Names the secret in a token's header; it tells nothing about it.
    id: String,
    user: JwtKey,
    room: JwtKey,
    chat: JwtKey,
    pub(super) refresh: [u8; 32],
}

struct JwtKey {
    signs: EncodingKey,
    verifies: DecodingKey,
}

/// What every token says, beside what its kind says.
#[derive(Serialize, Deserialize)]
struct Claims<C> {
    aud: String,
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    jti: String,
    #[serde(flatten)]
    said: C,
}

/// A verified token.
pub struct Verified<C> {
    /// What its kind says.
    pub said: C,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Keys {
    /// Derives the keys of every purpose from each secret.
    pub fn new(secrets: &Secrets) -> Self {
        jwt::install();
        Self(std::iter::once(&secrets.signing).chain(&secrets.retired).map(KeyRing::new).collect())
    }

    /// Signs a token of `kind` that is valid from `issued_at`, to the second, for `ttl`. Returns it with the
    /// moment when it ends. The same arguments give the same token.
    pub fn sign<C: Serialize>(
        &self,
        kind: TokenKind,
        said: C,
        id: String,
        issued_at: Timestamp,
        ttl: Duration,
    ) -> (String, Timestamp) {
        let ring = &self.0[0];
        let iat = issued_at.as_seconds();
        let exp = (Timestamp::from_seconds(iat) + ttl).as_seconds();
        let claims = Claims { aud: kind.audience().to_owned(), iat, exp, nbf: None, jti: id, said };
        let header = Header { kid: Some(ring.id.clone()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, &ring.jwt(kind).signs)
            .expect("claims are plain JSON and HS256 signs anything");
        (token, Timestamp::from_seconds(exp))
    }

    /// Verifies a token of `kind`: its signature first, then its times against `now`.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], [`Error::TokenWrongKind`] for a token that was signed here for another
    /// purpose, [`Error::TokenExpired`].
    pub fn verify<C: DeserializeOwned>(
        &self,
        kind: TokenKind,
        token: &str,
        now: Timestamp,
    ) -> Result<Verified<C>> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Error::TokenInvalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Error::TokenInvalid)?;
        let ring = self
            .0
            .iter()
            .find(|ring| header.kid.as_deref() == Some(ring.id.as_str()))
            .ok_or(Error::TokenInvalid)?;
        let claims: Claims<C> = match ring.jwt(kind).read(token) {
            Ok(claims) => claims,
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {
                let other = KINDS.into_iter().filter(|other| *other != kind);
                return Err(if other.into_iter().any(|other| ring.jwt(other).signed(token)) {
                    Error::TokenWrongKind { expected: kind }
                } else {
                    Error::TokenInvalid
                });
            }
            Err(_) => return Err(Error::TokenInvalid),
        };
        let starts = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
        if claims.aud != kind.audience() || Timestamp::from_seconds(starts) > now + LEEWAY {
            return Err(Error::TokenInvalid);
        }
        let expires_at = Timestamp::from_seconds(claims.exp);
        if expires_at + LEEWAY <= now {
            return Err(Error::TokenExpired);
        }
        Ok(Verified { said: claims.said, expires_at })
    }

    /// The rings, the signing one first.
    pub(super) fn rings(&self) -> &[KeyRing] {
        &self.0
    }
}

impl KeyRing {
    fn new(secret: &Secret) -> Self {
        let source = Hkdf::<Sha256>::new(None, secret.expose().as_bytes());
        let derive = |purpose: &str| {
            let mut key = [0; 32];
            source.expand(purpose.as_bytes(), &mut key).expect("32 bytes is a length that HKDF gives");
            key
        };
        let id = derive("kid/1")[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            id,
            user: JwtKey::new(&derive("jwt/user/1")),
            room: JwtKey::new(&derive("jwt/room/1")),
            chat: JwtKey::new(&derive("jwt/chat/1")),
            refresh: derive("refresh/1"),
        }
    }

    const fn jwt(&self, kind: TokenKind) -> &JwtKey {
        match kind {
            TokenKind::User => &self.user,
            TokenKind::Room => &self.room,
            TokenKind::Chat => &self.chat,
        }
    }
}

impl JwtKey {
    fn new(key: &[u8]) -> Self {
        Self { signs: EncodingKey::from_secret(key), verifies: DecodingKey::from_secret(key) }
    }

    /// Checks the algorithm and the signature, and reads the claims. The library would check times against
    /// its own clock, so that is left to the caller.
    fn read<C: DeserializeOwned>(&self, token: &str) -> jsonwebtoken::errors::Result<C> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Ok(jsonwebtoken::decode(token, &self.verifies, &validation)?.claims)
    }

    fn signed(&self, token: &str) -> bool {
        self.read::<serde::de::IgnoredAny>(token).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn keys() -> Keys {
        Keys::new(&Secrets::parse("a secret that only this test has").unwrap())
    }

    fn sign(keys: &Keys, kind: TokenKind, said: Value) -> String {
        keys.sign(kind, said, "1".to_owned(), NOW, Duration::from_secs(60)).0
    }

    #[test]
    fn a_token_signed_by_an_earlier_version_verifies() {
        let token = concat!(
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImtpZCI6IjgyN2MyNGU5In0.",
            "eyJhdWQiOiJyb29tIiwiaWF0IjoxODAwMDAwMDAwLCJleHAiOjE4MDAwMDAwNjAsImp0aSI6IjEiLCJyb29tIjo3fQ.",
            "ZMc60WDaiahYHxR0ez_FwKPUjCzCcLAd2AdpZzxopkA"
        );
        assert_eq!(sign(&keys(), TokenKind::Room, json!({ "room": 7 })), token);
        assert_eq!(keys().verify::<Value>(TokenKind::Room, token, NOW).unwrap().said, json!({ "room": 7 }));
    }

    #[test]
    fn a_token_is_read_within_its_time_only() {
        let token = sign(&keys(), TokenKind::Room, json!({}));
        for (seconds, good) in [(-6, false), (-5, true), (0, true), (64, true), (65, false)] {
            let now = Timestamp::from_seconds(NOW.as_seconds() + seconds);
            assert_eq!(keys().verify::<Value>(TokenKind::Room, &token, now).is_ok(), good, "{seconds}");
        }
    }

    #[test]
    fn a_token_for_later_is_invalid_until_then() {
        let token = sign(&keys(), TokenKind::Room, json!({ "nbf": NOW.as_seconds() + 30 }));
        for (seconds, good) in [(24, false), (25, true)] {
            let now = Timestamp::from_seconds(NOW.as_seconds() + seconds);
            assert_eq!(keys().verify::<Value>(TokenKind::Room, &token, now).is_ok(), good, "{seconds}");
        }
    }

    #[test]
    fn a_claim_that_is_missing_or_of_another_type_makes_a_token_invalid() {
        #[derive(Deserialize)]
        struct Said {
            #[expect(dead_code, reason = "only its presence matters")]
            room: i64,
        }
        for said in [json!({}), json!({ "room": "7" }), json!({ "room": null }), json!({ "room": 7.5 })] {
            let token = sign(&keys(), TokenKind::Room, said);
            let refused = keys().verify::<Said>(TokenKind::Room, &token, NOW);
            assert!(matches!(refused, Err(Error::TokenInvalid)));
        }
    }
}

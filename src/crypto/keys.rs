//! Signs and verifies JWTs, with a key for each kind of token.

use std::{sync::Arc, time::Duration};

use hkdf::Hkdf;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;

use super::{Secret, Secrets, jwt};
use crate::model::{Error, Result, Timestamp, TokenKind};

/// Maximum length of a token that is parsed. The longest token that is issued, for a name of 255 control characters, has
/// about 2,700 bytes.
const MAX_TOKEN_BYTES: usize = 4096;

/// Allowed difference between the clocks of two instances.
const LEEWAY: Duration = Duration::from_secs(5);

const KINDS: [TokenKind; 3] = [TokenKind::User, TokenKind::Room, TokenKind::Chat];

/// Signs and verifies tokens. Clones share the keys.
#[derive(Clone)]
pub struct Keys(Arc<[KeyRing]>);

/// The keys of one secret. The ring of the first secret signs.
pub(super) struct KeyRing {
    /// Identifies the secret in a token's header (`kid`), and reveals nothing about it.
    id: String,
    user: JwtKey,
    room: JwtKey,
    chat: JwtKey,
    pub(super) refresh: [u8; 32],
}

struct JwtKey {
    signing: EncodingKey,
    verifying: DecodingKey,
}

/// The claims of every token, and those of its kind.
#[derive(Serialize, Deserialize)]
struct AllClaims<C> {
    aud: String,
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    jti: String,
    #[serde(flatten)]
    of_kind: C,
}

/// A verified token.
pub struct Verified<C> {
    /// The claims of its kind.
    pub claims: C,
    /// When it expires.
    pub expires_at: Timestamp,
}

impl Keys {
    /// Derives the keys for every purpose from each secret.
    pub fn new(secrets: &Secrets) -> Self {
        jwt::install();
        Self(std::iter::once(&secrets.signing).chain(&secrets.retired).map(KeyRing::new).collect())
    }

    /// Signs a token of `kind` that is valid from `issued_at` (whole seconds) for `ttl`. Returns it with its expiry. The
    /// same arguments give the same token.
    pub fn sign<C: Serialize>(
        &self,
        kind: TokenKind,
        claims: C,
        id: String,
        issued_at: Timestamp,
        ttl: Duration,
    ) -> (String, Timestamp) {
        let ring = &self.0[0];
        let iat = issued_at.as_seconds();
        let exp = (Timestamp::from_seconds(iat) + ttl).as_seconds();
        let aud = kind.audience().to_owned();
        let claims = AllClaims { aud, iat, exp, nbf: None, jti: id, of_kind: claims };
        let header = Header { kid: Some(ring.id.clone()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, &ring.jwt(kind).signing)
            .expect("claims are plain JSON and HS256 signs anything");
        (token, Timestamp::from_seconds(exp))
    }

    /// Verifies a token of `kind`: its signature first, then its times against `now`.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`]; [`Error::TokenWrongKind`] for a token of another kind that was signed here;
    /// [`Error::TokenExpired`].
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
        let claims: AllClaims<C> = match ring.jwt(kind).read(token) {
            Ok(claims) => claims,
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {
                let other = KINDS.into_iter().filter(|other| *other != kind);
                return Err(if other.into_iter().any(|other| ring.jwt(other).has_signed(token)) {
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
        Ok(Verified { claims: claims.of_kind, expires_at })
    }

    /// Returns the rings, the signing one first.
    pub(super) fn rings(&self) -> &[KeyRing] {
        &self.0
    }
}

impl KeyRing {
    fn new(secret: &Secret) -> Self {
        let source = Hkdf::<Sha256>::new(None, secret.expose().as_bytes());
        let derive = |purpose: &str| {
            let mut key = [0; 32];
            source.expand(purpose.as_bytes(), &mut key).expect("HKDF can derive 32 bytes");
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
        Self { signing: EncodingKey::from_secret(key), verifying: DecodingKey::from_secret(key) }
    }

    /// Checks the algorithm and the signature, and reads the claims. The caller checks the times: the library would use
    /// its own clock.
    fn read<C: DeserializeOwned>(&self, token: &str) -> jsonwebtoken::errors::Result<C> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Ok(jsonwebtoken::decode(token, &self.verifying, &validation)?.claims)
    }

    fn has_signed(&self, token: &str) -> bool {
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

    fn sign(keys: &Keys, kind: TokenKind, claims: Value) -> String {
        keys.sign(kind, claims, "1".to_owned(), NOW, Duration::from_secs(60)).0
    }

    #[test]
    fn a_token_signed_by_an_earlier_version_verifies() {
        let token = concat!(
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImtpZCI6IjgyN2MyNGU5In0.",
            "eyJhdWQiOiJyb29tIiwiaWF0IjoxODAwMDAwMDAwLCJleHAiOjE4MDAwMDAwNjAsImp0aSI6IjEiLCJyb29tIjo3fQ.",
            "ZMc60WDaiahYHxR0ez_FwKPUjCzCcLAd2AdpZzxopkA"
        );
        assert_eq!(sign(&keys(), TokenKind::Room, json!({ "room": 7 })), token);
        assert_eq!(keys().verify::<Value>(TokenKind::Room, token, NOW).unwrap().claims, json!({ "room": 7 }));
    }

    #[test]
    fn a_token_is_accepted_only_within_its_validity() {
        let token = sign(&keys(), TokenKind::Room, json!({}));
        for (seconds, good) in [(-6, false), (-5, true), (0, true), (64, true), (65, false)] {
            let now = Timestamp::from_seconds(NOW.as_seconds() + seconds);
            assert_eq!(keys().verify::<Value>(TokenKind::Room, &token, now).is_ok(), good, "{seconds}");
        }
    }

    #[test]
    fn a_token_is_invalid_before_its_nbf() {
        let token = sign(&keys(), TokenKind::Room, json!({ "nbf": NOW.as_seconds() + 30 }));
        for (seconds, good) in [(24, false), (25, true)] {
            let now = Timestamp::from_seconds(NOW.as_seconds() + seconds);
            assert_eq!(keys().verify::<Value>(TokenKind::Room, &token, now).is_ok(), good, "{seconds}");
        }
    }

    #[test]
    fn a_missing_claim_or_one_of_another_type_makes_a_token_invalid() {
        #[derive(Deserialize)]
        struct Claims {
            #[expect(dead_code, reason = "only its presence matters")]
            room: i64,
        }
        for claims in [json!({}), json!({ "room": "7" }), json!({ "room": null }), json!({ "room": 7.5 })] {
            let token = sign(&keys(), TokenKind::Room, claims);
            let refused = keys().verify::<Claims>(TokenKind::Room, &token, NOW);
            assert!(matches!(refused, Err(Error::TokenInvalid)));
        }
    }
}

//! A backend for jsonwebtoken that has HS256 and no other algorithm.
//!
//! jsonwebtoken's own backends bring every algorithm of the standard, including RSA with its timing side channel
//! (RUSTSEC-2023-0071). This program signs and verifies its own tokens, so one HMAC is enough.

use std::sync::Once;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{
    Algorithm,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use sha2::Sha256;
use signature::{Signer, Verifier};

/// Makes HS256 the only algorithm of the process. Later calls cost nothing.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.as_bytes())?)),
        verifier_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.try_get_as_bytes()?)?)),
        key_utils: KeyUtils::new_unimplemented(),
    };
    ONCE.call_once(|| {
        // Fails only if another provider is installed, which only a dependency could have done.
        if PROVIDER.install_default().is_err() {
            tracing::error!("another JWT provider was installed first");
        }
    });
}

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, Error> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        Ok(Self(Hmac::new_from_slice(key).map_err(|_| ErrorKind::InvalidKeyFormat)?))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let mac = self.0.clone().chain_update(message);
        mac.verify_slice(signature).map_err(signature::Error::from_source)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::{DecodingKey, EncodingKey, crypto};

    use super::*;

    /// RFC 7515, appendix A.1: the standard's own example of HS256.
    const KEY: &str =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    const MESSAGE: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const SIGNATURE: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[test]
    fn signatures_match_the_example_of_rfc_7515() {
        install();
        let key = URL_SAFE_NO_PAD.decode(KEY).unwrap();
        let signs = EncodingKey::from_secret(&key);
        assert_eq!(crypto::sign(MESSAGE.as_bytes(), &signs, Algorithm::HS256).unwrap(), SIGNATURE);
        let verifies = DecodingKey::from_secret(&key);
        let verify = |message: &str, algorithm| {
            crypto::verify(SIGNATURE, message.as_bytes(), &verifies, algorithm).unwrap_or(false)
        };
        assert!(verify(MESSAGE, Algorithm::HS256));
        assert!(!verify(&MESSAGE[1..], Algorithm::HS256));
        assert!(!verify(MESSAGE, Algorithm::HS512), "there is no other algorithm");
    }
}

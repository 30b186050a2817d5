//! A certificate chain with its private key, refused where no client could use it.

use std::{
    fmt::Write as _,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio_rustls::rustls::{
    self, InconsistentKeys,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};

use super::validity::Validity;
use crate::model::Timestamp;

/// The PEM files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// The key is encrypted.
    #[error(
        "the key in {0} is encrypted, and there is nobody to ask for its password; decrypt it with `openssl pkey`"
    )]
    Encrypted(PathBuf),
    /// The key is of a kind that rustls cannot sign with.
    #[error(
        "the key in {0} is of a kind that is not served; make one of ECDSA on P-256 or P-384, of Ed25519, or of RSA with \
         2048 to 8192 bits"
    )]
    KeyKind(PathBuf),
    /// A file holds no item of the wanted kind.
    #[error("{path} holds no {wanted} in PEM{detail}")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// The kind: a certificate or a private key.
        wanted: &'static str,
        /// More about the cause; may be empty.
        detail: String,
    },
    /// The key belongs to another certificate.
    #[error("{key} is not the key of the first certificate in {cert}")]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The first certificate cannot be parsed.
    #[error("the first certificate in {0} cannot be read as X.509")]
    NotX509(PathBuf),
    /// The certificate has expired.
    #[error("the certificate in {path} expired at {until}; renew it")]
    Expired {
        /// The file.
        path: PathBuf,
        /// When it expired.
        until: String,
    },
    /// The certificate is not valid yet.
    #[error("the certificate in {path} is not valid before {from}; check this machine's clock")]
    TooSoon {
        /// The file.
        path: PathBuf,
        /// When it becomes valid.
        from: String,
    },
    /// No self-signed certificate can be generated.
    #[error("a certificate cannot be generated: {0}")]
    Generate(#[from] rcgen::Error),
    /// rustls refuses the configuration.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    /// Returns whether the cause may pass by itself: the machine's clock is set, or the certificate is renewed.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::TooSoon { .. } | Self::Expired { .. })
    }
}

impl Certificate {
    /// Reads a chain and its key.
    ///
    /// # Errors
    /// Where the files cannot be read, do not belong together, or are not valid at `now`.
    pub fn read(files: &TlsFiles, now: Timestamp) -> Result<Self, TlsError> {
        let path = files.cert.clone();
        let bytes = read(&files.cert)?;
        let not_pem = |error: pem::Error| not_pem(&files.cert, "certificate", &bytes, &error);
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(not_pem)?;
        let Some(leaf) = chain.first() else { return Err(not_pem(pem::Error::NoItemsFound)) };
        let Some(validity) = Validity::of(leaf) else { return Err(TlsError::NotX509(path)) };
        let bytes = read(&files.key)?;
        if is_encrypted(&bytes) {
            return Err(TlsError::Encrypted(files.key.clone()));
        }
        let key = PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|error| self::not_pem(&files.key, "private key", &bytes, &error))?;
        let provider = ring::default_provider();
        if provider.key_provider.load_private_key(key.clone_key()).is_err() {
            return Err(TlsError::KeyKind(files.key.clone()));
        }
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { cert: path.clone(), key: files.key.clone() }
            }
            rustls::Error::InvalidCertificate(_) => TlsError::NotX509(path.clone()),
            error => TlsError::Rustls(error),
        })?;
        if now < validity.from {
            return Err(TlsError::TooSoon { path, from: rfc3339(validity.from) });
        }
        if now > validity.until {
            return Err(TlsError::Expired { path, until: rfc3339(validity.until) });
        }
        Ok(Self { key: Arc::new(key), validity })
    }

    /// Generates a self-signed certificate for `localhost` and these addresses.
    ///
    /// # Errors
    /// Where the system provides no randomness.
    pub fn self_signed(addresses: &[IpAddr]) -> Result<Self, TlsError> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        names.extend(addresses.iter().filter(|ip| !ip.is_unspecified()).map(IpAddr::to_string));
        let generated = rcgen::generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::from(generated.signing_key);
        let validity = Validity::of(generated.cert.der()).ok_or_else(|| TlsError::NotX509(PathBuf::new()))?;
        let key = CertifiedKey::from_der(vec![generated.cert.into()], key, &ring::default_provider())?;
        Ok(Self { key: Arc::new(key), validity })
    }

    /// Returns when it expires.
    pub fn until(&self) -> String {
        rfc3339(self.validity.until)
    }

    /// Returns the SHA-256 fingerprint of the first certificate, as browsers and `openssl x509 -fingerprint` show it.
    pub fn fingerprint(&self) -> String {
        let digest = self.key.cert.first().map(|leaf| Sha256::digest(leaf.as_ref())).unwrap_or_default();
        let mut text = String::with_capacity(3 * digest.len());
        for byte in digest {
            let colon = if text.is_empty() { "" } else { ":" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{colon}{byte:02X}");
        }
        text
    }

    pub(super) fn ends_at(&self) -> Timestamp {
        self.validity.until
    }

    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::Unreadable { path: path.to_owned(), cause })
}

/// Returns whether a PEM file holds an encrypted key, in either of the two forms (RFC 7468, 11; RFC 1421, 4.6.1.1).
fn is_encrypted(bytes: &[u8]) -> bool {
    let holds = |mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
    holds(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds(b"Proc-Type: 4,ENCRYPTED")
}

/// Describes what is wrong with a file, without its content, which may be a key.
fn not_pem(path: &Path, wanted: &'static str, bytes: &[u8], error: &pem::Error) -> TlsError {
    let detail = match error {
        _ if bytes.starts_with("\u{feff}".as_bytes()) => {
            ": it begins with a byte order mark; save it in UTF-8 without one"
        }
        _ if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") => {
            ": it is in UTF-16; save it in UTF-8"
        }
        // The tag of a sequence: DER begins with it, and PEM is text.
        _ if bytes.starts_with(b"\x30\x81") || bytes.starts_with(b"\x30\x82") => {
            ": it is in DER; convert it with `openssl x509` or `openssl pkey`"
        }
        pem::Error::MissingSectionEnd { .. } => ": a section has no end, so it was cut short",
        pem::Error::Base64Decode(_) => ": a section is not base64",
        _ => "",
    };
    TlsError::NotPem { path: path.to_owned(), wanted, detail: detail.to_owned() }
}

fn rfc3339(at: Timestamp) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at.as_seconds()).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| "the end of time".to_owned())
}

//! TLS on the same port: HTTP/2 and HTTP/1.1 by ALPN, with a certificate that can be changed while connections last.

mod certificate;
mod validity;

use std::{fmt, io, net::IpAddr, path::PathBuf, sync::Arc};

use parking_lot::{Mutex, RwLock};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
    server::TlsStream,
};

pub use self::certificate::{Certificate, TlsError};
use crate::clock::Clock;

/// The first byte of every TLS connection: a record that holds a handshake (RFC 8446, 5.1).
pub(super) const HANDSHAKE_RECORD: u8 = 0x16;

/// The files of a certificate, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsConfig {
    /// From files.
    Files(TlsFiles),
    /// Made at the start for this machine's own names, for development.
    SelfSigned,
}

/// A handle to the certificate that is served. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    files: Option<TlsFiles>,
    clock: Clock,
    /// The files that were tried last.
    tried: Mutex<Option<Tried>>,
}

/// Files that were tried.
#[derive(Clone, Copy)]
struct Tried {
    digest: [u8; 32],
    /// Whether their certificate was not valid yet, so that they are tried again though they have not changed.
    is_early: bool,
}

/// The certificate that new connections get. Those that are open keep theirs.
#[derive(Debug)]
struct Current(RwLock<Certificate>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().key())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the certificate, or makes one for these addresses and `localhost`.
    ///
    /// # Errors
    /// Where a client could not use it.
    pub fn open(config: &TlsConfig, addresses: &[IpAddr], clock: Clock) -> Result<Self, TlsError> {
        let (certificate, files) = match config {
            TlsConfig::Files(files) => (Certificate::read(files, clock.now())?, Some(files.clone())),
            TlsConfig::SelfSigned => (Certificate::self_signed(addresses)?, None),
        };
        tracing::info!(
            until = %certificate.until(), sha256 = certificate.fingerprint(), self_signed = files.is_none(),
            "TLS is on"
        );
        let current = Arc::new(Current(RwLock::new(certificate)));
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Sessions are kept by the clients, so that a thousand who come back at once are cheap and cost no memory.
        config.ticketer = ring::Ticketer::new()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let tried = Mutex::new(files.as_ref().map(|files| Tried { digest: digest(files), is_early: false }));
        Ok(Self(Arc::new(Inner { acceptor, current, files, clock, tried })))
    }

    /// Speaks TLS's handshake.
    pub(super) async fn accept(
        &self,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, (io::Error, TcpStream)> {
        self.0.acceptor.accept(socket).into_fallible().await
    }

    /// Returns when the certificate that is served ends, in Unix time.
    pub fn until(&self) -> i64 {
        self.0.current.0.read().ends_at().as_seconds()
    }

    /// Reads the files again and serves what they hold from the next connection on. What cannot be used is told in
    /// the log, and the certificate before it stays.
    pub fn reload(&self) {
        let Some(files) = &self.0.files else {
            return tracing::info!(
                "the certificate was made by this process: there is nothing to read again"
            );
        };
        let mut tried = self.0.tried.lock();
        *tried = None;
        self.read(files, &mut tried);
    }

    /// Reads the files again if they are others than were tried last. They are compared by their bytes: a mount that
    /// is swapped as a whole keeps its names and may keep its times. A certificate that was not valid yet is tried again
    /// without a change.
    pub fn reload_if_changed(&self) {
        let Some(files) = &self.0.files else { return };
        let mut tried = self.0.tried.lock();
        if tried.is_none_or(|tried| tried.is_early || tried.digest != digest(files)) {
            self.read(files, &mut tried);
        }
    }

    /// Reads the files. Whoever reads them at the same time waits, so that what was read first is not served last.
    fn read(&self, files: &TlsFiles, tried: &mut Option<Tried>) {
        let digest = digest(files);
        let was_early = tried.is_some_and(|tried| tried.is_early && tried.digest == digest);
        let read = Certificate::read(files, self.0.clock.now());
        let is_early = matches!(read, Err(TlsError::TooSoon { .. }));
        *tried = Some(Tried { digest, is_early });
        match read {
            Ok(certificate) => {
                let (until, sha256) = (certificate.until(), certificate.fingerprint());
                *self.0.current.0.write() = certificate;
                tracing::info!(%until, sha256, "a new certificate is served");
            }
            // It was logged when the files were tried first.
            Err(_) if was_early && is_early => {}
            Err(error) => tracing::error!(%error, "the certificate before it stays"),
        }
    }
}

/// Returns a digest of both files; one that cannot be read counts as empty.
fn digest(files: &TlsFiles) -> [u8; 32] {
    let mut digest = Sha256::new();
    for path in [&files.cert, &files.key] {
        let bytes = std::fs::read(path).unwrap_or_default();
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn a_certificate_that_is_not_valid_yet_is_served_once_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        let write = |from: i32, until: i32| {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
            let key = KeyPair::generate().unwrap();
            std::fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
            std::fs::write(&files.key, key.serialize_pem()).unwrap();
        };
        let year = |year: i32| Timestamp::from_seconds(date_time_ymd(year, 6, 1).unix_timestamp());
        write(2020, 2040);
        let clock = Clock::manual(year(2025));
        let tls = Tls::open(&TlsConfig::Files(files.clone()), &[], clock.clone()).unwrap();
        let before = tls.until();
        write(2030, 2050);
        tls.reload_if_changed();
        assert_eq!(tls.until(), before, "it is not valid yet");
        clock.set(year(2031));
        tls.reload_if_changed();
        assert!(tls.until() > before, "the files have not changed, and it is valid now");
    }
}

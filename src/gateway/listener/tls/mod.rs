//! TLS on the same port: HTTP/2 and HTTP/1.1 by ALPN, with a certificate that can be replaced while connections are open.

mod certificate;
mod validity;

use std::{fmt, io, net::IpAddr, sync::Arc};

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

pub use self::certificate::{Certificate, TlsError, TlsFiles};
use crate::clock::Clock;

/// First byte of every TLS connection: the content type of a handshake record (RFC 8446, 5.1).
pub(super) const HANDSHAKE_RECORD: u8 = 0x16;

/// Source of the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsConfig {
    /// Read from files.
    Files(TlsFiles),
    /// Generated at startup for the names of this machine, for development.
    SelfSigned,
}

/// TLS with the certificate that is served. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    files: Option<TlsFiles>,
    clock: Clock,
    /// The files that were read last. Locked during a read, so that the newest files win.
    last_read: Mutex<Option<LastRead>>,
}

/// Files that were read.
#[derive(Clone, Copy)]
struct LastRead {
    digest: [u8; 32],
    /// Whether their certificate was not valid yet, so that they are read again although they have not changed.
    is_early: bool,
}

/// The certificate of new connections. Open connections keep theirs.
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
    /// Reads the certificate, or generates one for these addresses and `localhost`.
    ///
    /// # Errors
    /// Where no client could use the certificate.
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
        // Clients keep their sessions in tickets, so that a thousand reconnects at once are cheap and need no memory here.
        config.ticketer = ring::Ticketer::new()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let last_read = files.as_ref().map(|files| LastRead { digest: digest(files), is_early: false });
        Ok(Self(Arc::new(Inner { acceptor, current, files, clock, last_read: Mutex::new(last_read) })))
    }

    /// Does the handshake.
    ///
    /// # Errors
    /// The error, and the socket, which is still open.
    pub(super) async fn accept(
        &self,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, (io::Error, TcpStream)> {
        self.0.acceptor.accept(socket).into_fallible().await
    }

    /// Returns when the certificate that is served expires, in Unix time.
    pub fn until(&self) -> i64 {
        self.0.current.0.read().ends_at().as_seconds()
    }

    /// Reads the files again, and serves their certificate from the next connection on. Where it cannot be used, logs that and
    /// keeps the present one.
    pub fn reload(&self) {
        let Some(files) = &self.0.files else {
            return tracing::info!(
                "the certificate was made by this process: there is nothing to read again"
            );
        };
        let mut last_read = self.0.last_read.lock();
        *last_read = None;
        self.read(files, &mut last_read);
    }

    /// Reads the files again if their bytes have changed, or if their certificate was not valid yet. Bytes are compared and
    /// not times, since a mount that is swapped as a whole may keep its times.
    pub fn reload_if_changed(&self) {
        let Some(files) = &self.0.files else { return };
        let mut last_read = self.0.last_read.lock();
        if last_read.is_none_or(|last| last.is_early || last.digest != digest(files)) {
            self.read(files, &mut last_read);
        }
    }

    fn read(&self, files: &TlsFiles, last_read: &mut Option<LastRead>) {
        let digest = digest(files);
        let was_early = last_read.is_some_and(|last| last.is_early && last.digest == digest);
        let read = Certificate::read(files, self.0.clock.now());
        let is_early = matches!(read, Err(TlsError::TooSoon { .. }));
        *last_read = Some(LastRead { digest, is_early });
        match read {
            Ok(certificate) => {
                let (until, sha256) = (certificate.until(), certificate.fingerprint());
                *self.0.current.0.write() = certificate;
                tracing::info!(%until, sha256, "a new certificate is served");
            }
            // It was logged when the files were read first.
            Err(_) if was_early && is_early => {}
            Err(error) => tracing::error!(%error, "the certificate before it stays"),
        }
    }
}

/// Returns a digest of both files. A file that cannot be read counts as empty.
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
        assert_eq!(tls.until(), before, "the new certificate is not valid yet");
        clock.set(year(2031));
        tls.reload_if_changed();
        assert!(tls.until() > before, "the same certificate has become valid");
    }
}

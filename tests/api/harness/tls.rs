//! Certificates, and a TLS client.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
    },
};

use super::within;

/// A certificate for 127.0.0.1 with its key.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    cert: String,
    key: String,
}

impl Certificate {
    /// Makes a certificate that is valid until 2999.
    pub(crate) fn new() -> Self {
        Self::until(2999)
    }

    /// Makes a certificate that is valid until 1 January of a year.
    pub(crate) fn until(year: i32) -> Self {
        let signing_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        params.not_before = date_time_ymd(year - 999, 1, 1);
        let cert = params.self_signed(&signing_key).unwrap();
        Self { der: cert.der().clone(), cert: cert.pem(), key: signing_key.serialize_pem() }
    }

    /// The certificate that [`super::Connection`] trusts.
    pub(crate) fn trusted() -> &'static Self {
        static TRUSTED: LazyLock<Certificate> = LazyLock::new(Certificate::new);
        &TRUSTED
    }

    /// Writes certificate and key into a folder. Returns the settings with the two paths.
    pub(crate) fn write(&self, folder: &Path) -> [(&'static str, String); 2] {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        [("TLS_CERT", file("cert.pem", &self.cert)), ("TLS_KEY", file("key.pem", &self.key))]
    }

    /// Writes the key only.
    pub(crate) fn write_key(&self, folder: &Path) {
        fs::write(folder.join("key.pem"), &self.key).unwrap();
    }
}

/// Connects with TLS to a server that must have one of these certificates, and offers these ALPN protocols.
pub(crate) async fn connect(
    address: SocketAddr,
    trusted: &[&Certificate],
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.der.clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let socket = within("a connection", TcpStream::connect(address)).await.unwrap();
    let name = ServerName::try_from(address.ip().to_string()).unwrap();
    within("a handshake", TlsConnector::from(Arc::new(config)).connect(name, socket)).await
}

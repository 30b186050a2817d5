//! `https`: trusted certificate authorities, and failures of a connection that are about trust.

use std::{error::Error as StdError, io};

use tokio_rustls::rustls::{
    CertificateError, Error as TlsError, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::Error;

/// Makes the endpoint use TLS and trust the public authorities and these.
pub(crate) fn with_tls(endpoint: Endpoint, authorities: &[Vec<u8>]) -> Result<Endpoint, Error> {
    for pem in authorities {
        validate(pem)?;
    }
    let authorities = authorities.iter().map(Certificate::from_pem);
    let config = ClientTlsConfig::new().with_webpki_roots().ca_certificates(authorities);
    endpoint.tls_config(config).map_err(|error| Error::InvalidAuthority(error.to_string()))
}

/// tonic skips what it cannot parse, so every connection would fail later.
fn validate(pem: &[u8]) -> Result<(), Error> {
    let invalid = |why: &dyn ToString| Error::InvalidAuthority(why.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| invalid(&error))?;
        roots.add(certificate).map_err(|error| invalid(&error))?;
    }
    if roots.is_empty() { Err(invalid(&"there is no certificate in it")) } else { Ok(()) }
}

/// Why the server's certificate was rejected, if that made the connection fail.
pub(crate) fn certificate_error(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An io::Error has its cause here and skips it in `source`.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = match inner {
            Some(inner) => inner.downcast_ref(),
            None => error.downcast_ref(),
        };
        match tls {
            Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                return Some("its authority is unknown".to_owned());
            }
            Some(TlsError::InvalidCertificate(why)) => return Some(why.to_string()),
            _ => next = inner.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source()),
        }
    }
    None
}

//! `https`: whom to trust, and which failures of a connection are about trust.

use std::{error::Error as StdError, io};

use tokio_rustls::rustls::{
    CertificateError, Error as TlsError, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::Error;

/// Makes the endpoint speak TLS, and trust the public authorities and these.
pub(crate) fn secured(endpoint: Endpoint, authorities: &[Vec<u8>]) -> Result<Endpoint, Error> {
    for pem in authorities {
        check(pem)?;
    }
    let authorities = authorities.iter().map(Certificate::from_pem);
    let config = ClientTlsConfig::new().with_webpki_roots().ca_certificates(authorities);
    endpoint.tls_config(config).map_err(|error| Error::InvalidAuthority(error.to_string()))
}

/// tonic passes over what it cannot read, and every server would be refused later.
fn check(pem: &[u8]) -> Result<(), Error> {
    let refused = |why: &dyn ToString| Error::InvalidAuthority(why.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| refused(&error))?;
        roots.add(certificate).map_err(|error| refused(&error))?;
    }
    if roots.is_empty() { Err(refused(&"there is no certificate in it")) } else { Ok(()) }
}

/// What is wrong with the server's certificate, where a connection failed for that.
pub(crate) fn distrust(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An io::Error shows its cause here, and passes it over in `source`.
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

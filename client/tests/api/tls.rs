//! `https`: which servers the client trusts, and how it reports the others.

use std::sync::Arc;

use grpcchatter_client::{Client, Error};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use crate::fake::{Fake, with_messages};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with a certificate for `name`.
async fn server(authority: &Authority, name: &str) -> Fake {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Fake::listen("https", move |socket| acceptor.accept(socket)).await
}

fn client(url: &str, authority: &Authority) -> Client {
    Client::builder(url).ca_certificate(authority.pem()).build().unwrap()
}

#[tokio::test]
async fn a_configured_authority_is_trusted() {
    let authority = authority("ours");
    let fake = server(&authority, "127.0.0.1").await;
    fake.script_stream(with_messages([1]), None);
    let client = client(&fake.url, &authority);
    client.login("walker1", "Secret-1!").await.unwrap();
    let room = client.join_chat_room("aB3xYz", "").await.unwrap();
    assert_eq!(room.receive().await.unwrap().seq, 1);
    assert_eq!(room.send("hello").await.unwrap().seq, 1);
}

#[tokio::test]
async fn an_unknown_authority_is_rejected_without_a_retry() {
    let fake = server(&authority("theirs"), "127.0.0.1").await;
    for client in [client(&fake.url, &authority("ours")), Client::new_at(&fake.url).unwrap()] {
        let error = client.login("walker1", "Secret-1!").await.unwrap_err();
        assert!(matches!(error, Error::Untrusted(_)), "{error:?}");
        assert_eq!(error.to_string(), "the server's certificate is not trusted: its authority is unknown");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_rejected_with_that_name() {
    let authority = authority("ours");
    let fake = server(&authority, "chat.example").await;
    let error = client(&fake.url, &authority).login("walker1", "Secret-1!").await.unwrap_err();
    assert!(matches!(&error, Error::Untrusted(why) if why.contains("chat.example")), "{error:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_unreachable() {
    let fake = Fake::start().await;
    let url = fake.url.replace("http://", "https://");
    let error = Client::new_at(url).unwrap().login("walker1", "Secret-1!").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
}

#[test]
fn an_invalid_authority_is_rejected_at_build() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "hello", broken] {
        let built = Client::builder("https://chat.example").ca_certificate(pem).build();
        assert!(matches!(built, Err(Error::InvalidAuthority(_))), "{pem:?}: {built:?}");
    }
}

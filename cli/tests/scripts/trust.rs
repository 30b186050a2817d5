//! Over TLS: which servers the program trusts.

use std::{fs, path::Path};

use rcgen::{CertificateParams, KeyPair};

use crate::{
    home::Home,
    process::{PASSWORD, Server},
};

/// Writes a self-signed certificate for 127.0.0.1 and its key.
fn certificate(folder: &Path) -> [String; 2] {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    [("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())].map(|(name, pem)| {
        let path = folder.join(name);
        fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[tokio::test]
async fn ca_cert_adds_a_trusted_authority() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = certificate(folder.path());
    let environment = vec![("TLS_CERT", certificate.clone()), ("TLS_KEY", key.clone())];
    let Some(server) = Server::with(&[], environment).await else { return };
    let home = Home::new();
    let register = ["register", &server.url, "walker1", "--password-stdin"];
    home.run_with_input(PASSWORD, &register).await.failed(69, "its authority is unknown");
    let trusting = [&register[..], &["--ca-cert", &certificate]].concat();
    assert_eq!(home.run_with_input(PASSWORD, &trusting).await.ok(), "");
    assert_eq!(home.run(&["rooms", "--ca-cert", &certificate]).await.ok(), "");
    home.run(&["rooms"]).await.failed(69, "its authority is unknown");
    home.run(&["rooms", "--ca-cert", &key]).await.failed(78, "there is no certificate in it");
}

#[tokio::test]
async fn a_wrong_scheme_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = certificate(folder.path());
    let environment = vec![("TLS_CERT", certificate.clone()), ("TLS_KEY", key.clone())];
    let (Some(secured), Some(plain)) = (Server::with(&[], environment).await, Server::start(&[]).await)
    else {
        return;
    };
    let home = Home::new();
    for (server, wrong, right) in [(&secured, "http://", "https://"), (&plain, "https://", "http://")] {
        let authority = server.url.split_once("://").unwrap().1;
        let url = format!("{wrong}{authority}");
        let login = home.run_with_input(PASSWORD, &["login", &url, "walker1", "--password-stdin"]).await;
        login.failed(64, &format!("TLS: use {right}{authority}"));
    }
}

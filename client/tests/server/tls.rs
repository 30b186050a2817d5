//! The library and the server over TLS, with a certificate of their own.

use grpcchatter_client::Client;
use rcgen::{CertificateParams, KeyPair};

use crate::process::{PASSWORD, Server};

/// A certificate for 127.0.0.1 that signs itself, and its key, in PEM.
fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_server_of_ones_own_authority_is_talked_to_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let environment = vec![("TLS_CERT", file("cert.pem", &certificate)), ("TLS_KEY", file("key.pem", &key))];
    let Some(mut server) = Server::with(&[], environment).await else { return };
    assert!(server.url.starts_with("https://"), "{}", server.url);

    let client = Client::builder(&server.url).ca_certificate(certificate).build().unwrap();
    client.register("walker1", PASSWORD).await.unwrap();
    client.login("walker1", PASSWORD).await.unwrap();
    let code = client.create_chat_room("Mountains", "").await.unwrap().short_code;
    let room = client.join_chat_room(&code, "").await.unwrap();
    room.send("one").await.unwrap();
    assert_eq!(room.receive().await.unwrap().body, "one");
    server.restart().await;
    room.send("two").await.unwrap();
    assert_eq!(room.receive().await.unwrap().body, "two");

    let stranger = Client::new_at(&server.url).unwrap();
    let error = stranger.login("walker1", PASSWORD).await.unwrap_err();
    assert!(matches!(error, grpcchatter_client::Error::Untrusted(_)), "{error:?}");
}

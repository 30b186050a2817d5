//! TLS on the port: what is negotiated, what is refused, and a certificate that changes while connections last.
//! That every call answers over it as without it is in `matrix.rs`.

use std::{net::SocketAddr, path::Path, time::Duration};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::harness::{
    Certificate, Connection, Database, Process, TestApp, Version, connect, on_each_database, request, within,
};

on_each_database! {
    http2_and_http1_are_negotiated_and_nothing_else,
    whoever_speaks_http_to_tls_is_told_or_closed,
    a_handshake_that_comes_to_no_end_is_given_up,
    a_new_certificate_is_served_and_open_connections_last,
    a_certificate_that_nobody_could_use_is_told_by_its_cause,
}

/// Returns the settings of a server with this certificate.
fn settings(certificate: &Certificate, folder: &Path) -> Vec<(&'static str, String)> {
    certificate.write(folder).into()
}

fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

async fn http2_and_http1_are_negotiated_and_nothing_else(database: Database) {
    let folder = TempDir::new().unwrap();
    let settings = settings(Certificate::trusted(), folder.path());
    let app = TestApp::on(&database, folder, &borrowed(&settings)).await;
    for (offered, expected, version) in [
        (&["h2", "http/1.1"][..], Some("h2"), Version::TlsH2),
        (&["http/1.1", "h2"], Some("h2"), Version::TlsH2),
        (&["http/1.1"], Some("http/1.1"), Version::TlsH1),
        // Whoever negotiates nothing is understood by their first bytes.
        (&[], None, Version::TlsH1),
        (&[], None, Version::TlsH2),
    ] {
        let stream = connect(app.address(), &[Certificate::trusted()], offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), expected.map(str::as_bytes));
        let mut connection = Connection::over(stream, app.address(), version).await;
        assert_eq!(connection.send(request("GET", "/livez", &[], "")).await.status, 200, "{offered:?}");
    }
    assert!(connect(app.address(), &[Certificate::trusted()], &["spdy/3"]).await.is_err());
}

/// Sends bytes without TLS, and returns all that comes back until the end.
async fn tell(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    within("the end", socket.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap();
}

/// Puts a byte order mark before a file, as some editors do.
fn mark(folder: &Path, name: &str) {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    put(folder, name, format!("\u{feff}{text}").as_bytes());
}

async fn whoever_speaks_http_to_tls_is_told_or_closed(database: Database) {
    let folder = TempDir::new().unwrap();
    let settings = settings(Certificate::trusted(), folder.path());
    let app = TestApp::on(&database, folder, &borrowed(&settings)).await;
    let answer = tell(app.address(), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["reason"], "TLS_NEEDED");
    for silent in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"\x00\x01", b"SSH-2.0-x\r\n"] {
        assert_eq!(tell(app.address(), silent).await, "");
    }
    // A record of TLS that is none gets an alert, and an end.
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(b"\x16\x03\x01\x00\x04\x63\x00\x00\x00").await.unwrap();
    let mut alert = Vec::new();
    within("the end", socket.read_to_end(&mut alert)).await.unwrap();
    assert_eq!(alert.first(), Some(&0x15), "{alert:?}");
}

async fn a_handshake_that_comes_to_no_end_is_given_up(database: Database) {
    let folder = TempDir::new().unwrap();
    let settings = settings(Certificate::trusted(), folder.path());
    let app = TestApp::on(&database, folder, &borrowed(&settings)).await;
    let mut ending = JoinSet::new();
    for beginning in [&b"\x16"[..], b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"] {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        socket.write_all(beginning).await.unwrap();
        ending.spawn(
            async move { within("the end of a handshake", socket.read_to_end(&mut Vec::new())).await },
        );
    }
    // Others are served meanwhile.
    let mut connection = Connection::open(app.address(), Version::TlsH2).await;
    while !ending.is_empty() {
        assert_eq!(connection.send(request("GET", "/livez", &[], "")).await.status, 200);
        // A reset is an end as well.
        if let Ok(Some(ended)) = tokio::time::timeout(Duration::from_millis(100), ending.join_next()).await {
            drop(ended.expect("it ends in time"));
        }
    }
}

async fn a_new_certificate_is_served_and_open_connections_last(database: Database) {
    let (folder, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [first, second, third] = [(); 3].map(|()| Certificate::new());
    let settings = settings(&first, files.path());
    let mut server = Process::start(&database, &folder, &borrowed(&settings)).await;
    let address = server.address();
    let stream = connect(address, &[&first], &["h2"]).await.unwrap();
    let mut open = Connection::over(stream, address, Version::TlsH2).await;

    // The system is told.
    second.write(files.path());
    server.signal(Signal::HUP);
    server.says("a new certificate is served").await;
    connect(address, &[&second], &["h2"]).await.unwrap();
    assert!(connect(address, &[&first], &["h2"]).await.is_err());

    // What cannot be used is told, once, and what was served before stays.
    third.write_key(files.path());
    server.signal(Signal::HUP);
    let told = server.says("the certificate before it stays").await;
    assert!(told.contains("is not the key of"), "{told}");
    connect(address, &[&second], &["h2"]).await.unwrap();

    // Nobody is told, and it is noticed.
    third.write(files.path());
    server.says("a new certificate is served").await;
    connect(address, &[&third], &["h2"]).await.unwrap();

    assert_eq!(open.send(request("GET", "/livez", &[], "")).await.status, 200);
    drop(open);
    server.terminate();
    assert_eq!(server.wait().await.0.code(), Some(0));
}

async fn a_certificate_that_nobody_could_use_is_told_by_its_cause(database: Database) {
    let folder = TempDir::new().unwrap();
    let good = settings(&Certificate::new(), folder.path());
    type Spoil = fn(&Path);
    // What passes by itself is tried again by a supervisor: a clock that is set, a certificate that is renewed.
    let cases: [(i32, &str, Spoil); 13] = [
        (64, "is not the key of", |folder| Certificate::new().write_key(folder)),
        (75, "expired at 2001-01-01T00:00:00Z", |folder| drop(Certificate::until(2001).write(folder))),
        (75, "is not valid before 3001-01-01T00:00:00Z", |folder| {
            drop(Certificate::until(4000).write(folder));
        }),
        (64, "holds no private key in PEM", |folder| put(folder, "key.pem", b"")),
        (64, "holds no certificate in PEM", |folder| put(folder, "cert.pem", b"x")),
        (64, "cannot be read", |folder| std::fs::remove_file(folder.join("cert.pem")).unwrap()),
        (64, "is encrypted", |folder| put(folder, "key.pem", include_bytes!("keys/encrypted.pem"))),
        (64, "is encrypted", |folder| {
            put(folder, "key.pem", include_bytes!("keys/encrypted_traditional.pem"));
        }),
        (64, "of a kind that is not served", |folder| {
            put(folder, "key.pem", include_bytes!("keys/p521.pem"));
        }),
        (64, "begins with a byte order mark", |folder| mark(folder, "cert.pem")),
        (64, "begins with a byte order mark", |folder| mark(folder, "key.pem")),
        (64, "it is in UTF-16", |folder| put(folder, "cert.pem", b"\xff\xfe-\0-\0-\0")),
        (64, "it is in DER", |folder| put(folder, "cert.pem", &Certificate::new().der)),
    ];
    for (expected, sentence, spoil) in cases {
        Certificate::new().write(folder.path());
        spoil(folder.path());
        let (code, said) = Process::fail(&database, &folder, &borrowed(&good)).await;
        assert_eq!((code, said.contains(sentence)), (expected, true), "{sentence}: {said}");
    }
    // Beside something that nobody but a person mends it makes no difference.
    Certificate::until(2001).write(folder.path());
    let both = [&borrowed(&good)[..], &[("LOG_FORMAT", "xml")]].concat();
    assert_eq!(Process::fail(&database, &folder, &both).await.0, 64);
    let (code, said) = Process::fail(&database, &folder, &borrowed(&good[..1])).await;
    assert_eq!((code, said.contains("one is set without the other")), (64, true), "{said}");
}

//! TLS: what is negotiated, what is refused, and a certificate that changes while connections are open. `matrix.rs` checks that TLS
//! changes no answer.

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
    only_http2_and_http1_are_negotiated,
    plain_http_to_a_tls_port_gets_an_answer_or_a_close,
    a_handshake_that_does_not_end_times_out,
    a_new_certificate_is_served_and_open_connections_stay,
    an_unusable_certificate_is_refused_with_its_cause,
}

/// Returns the settings of a server with this certificate.
fn settings(certificate: &Certificate, folder: &Path) -> Vec<(&'static str, String)> {
    certificate.write(folder).into()
}

fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

async fn only_http2_and_http1_are_negotiated(database: Database) {
    let folder = TempDir::new().unwrap();
    let settings = settings(Certificate::trusted(), folder.path());
    let app = TestApp::on(&database, folder, &borrowed(&settings)).await;
    for (offered, expected, version) in [
        (&["h2", "http/1.1"][..], Some("h2"), Version::TlsH2),
        (&["http/1.1", "h2"], Some("h2"), Version::TlsH2),
        (&["http/1.1"], Some("http/1.1"), Version::TlsH1),
        // Without ALPN the first bytes decide.
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

/// Sends bytes without TLS, and returns everything that the server sends until the end.
async fn send_plain(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    within("the end", socket.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap();
}

/// Puts a byte order mark at the start of a file, as some editors do.
fn add_bom(folder: &Path, name: &str) {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    put(folder, name, format!("\u{feff}{text}").as_bytes());
}

async fn plain_http_to_a_tls_port_gets_an_answer_or_a_close(database: Database) {
    let folder = TempDir::new().unwrap();
    let settings = settings(Certificate::trusted(), folder.path());
    let app = TestApp::on(&database, folder, &borrowed(&settings)).await;
    let answer = send_plain(app.address(), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["reason"], "TLS_NEEDED");
    for closed in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"\x00\x01", b"SSH-2.0-x\r\n"] {
        assert_eq!(send_plain(app.address(), closed).await, "");
    }
    // An invalid TLS record gets an alert and a close.
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(b"\x16\x03\x01\x00\x04\x63\x00\x00\x00").await.unwrap();
    let mut alert = Vec::new();
    within("the end", socket.read_to_end(&mut alert)).await.unwrap();
    assert_eq!(alert.first(), Some(&0x15), "{alert:?}");
}

async fn a_handshake_that_does_not_end_times_out(database: Database) {
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
    // Other clients are served meanwhile.
    let mut connection = Connection::open(app.address(), Version::TlsH2).await;
    while !ending.is_empty() {
        assert_eq!(connection.send(request("GET", "/livez", &[], "")).await.status, 200);
        // A reset ends the connection too.
        if let Ok(Some(ended)) = tokio::time::timeout(Duration::from_millis(100), ending.join_next()).await {
            drop(ended.expect("it ends in time"));
        }
    }
}

async fn a_new_certificate_is_served_and_open_connections_stay(database: Database) {
    let (folder, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [first, second, third] = [(); 3].map(|()| Certificate::new());
    let settings = settings(&first, files.path());
    let mut server = Process::start(&database, &folder, &borrowed(&settings)).await;
    let address = server.address();
    let stream = connect(address, &[&first], &["h2"]).await.unwrap();
    let mut open = Connection::over(stream, address, Version::TlsH2).await;

    // A signal makes the server read the certificate.
    second.write(files.path());
    server.signal(Signal::HUP);
    server.says("a new certificate is served").await;
    connect(address, &[&second], &["h2"]).await.unwrap();
    assert!(connect(address, &[&first], &["h2"]).await.is_err());

    // A certificate that cannot be used is logged once, and the one before stays.
    third.write_key(files.path());
    server.signal(Signal::HUP);
    let line = server.says("the certificate before it stays").await;
    assert!(line.contains("is not the key of"), "{line}");
    connect(address, &[&second], &["h2"]).await.unwrap();

    // Without a signal the server notices the new files itself.
    third.write(files.path());
    server.says("a new certificate is served").await;
    connect(address, &[&third], &["h2"]).await.unwrap();

    assert_eq!(open.send(request("GET", "/livez", &[], "")).await.status, 200);
    drop(open);
    server.terminate();
    assert_eq!(server.wait().await.0.code(), Some(0));
}

async fn an_unusable_certificate_is_refused_with_its_cause(database: Database) {
    let folder = TempDir::new().unwrap();
    let good = settings(&Certificate::new(), folder.path());
    type Break = fn(&Path);
    // 75 makes a supervisor retry: the clock may be set later, or the certificate renewed.
    let cases: [(i32, &str, Break); 13] = [
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
        (64, "begins with a byte order mark", |folder| add_bom(folder, "cert.pem")),
        (64, "begins with a byte order mark", |folder| add_bom(folder, "key.pem")),
        (64, "it is in UTF-16", |folder| put(folder, "cert.pem", b"\xff\xfe-\0-\0-\0")),
        (64, "it is in DER", |folder| put(folder, "cert.pem", &Certificate::new().der)),
    ];
    for (expected, sentence, break_files) in cases {
        Certificate::new().write(folder.path());
        break_files(folder.path());
        let (code, stderr) = Process::fail(&database, &folder, &borrowed(&good)).await;
        assert_eq!((code, stderr.contains(sentence)), (expected, true), "{sentence}: {stderr}");
    }
    // Together with an error that only a person can fix, the exit code is 64.
    Certificate::until(2001).write(folder.path());
    let both = [&borrowed(&good)[..], &[("LOG_FORMAT", "xml")]].concat();
    assert_eq!(Process::fail(&database, &folder, &both).await.0, 64);
    let (code, stderr) = Process::fail(&database, &folder, &borrowed(&good[..1])).await;
    assert_eq!((code, stderr.contains("one is set without the other")), (64, true), "{stderr}");
}

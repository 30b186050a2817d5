//! HTTP's own rules: whom a request names, which page it comes from, and what is left of it when it is refused.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use crate::harness::{
    Connection, Database, Dialect, PASSWORD, Refused as _, TestApp, Version, new_name, on_each_database,
    request, within,
};

on_each_database! {
    a_foreign_page_spends_nothing,
    one_host_is_named,
    a_refused_body_costs_no_connection,
    what_is_not_read_is_announced,
    every_answer_says_that_its_type_is_to_be_believed,
}

async fn a_foreign_page_spends_nothing(database: Database) {
    let settings = [("REGISTRATIONS_PER_HOUR", "1"), ("CORS_ORIGINS", "https://app.example")];
    let app = TestApp::with(&database, &settings).await;
    let foreign: [&[(&str, &str)]; 3] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null"), ("content-type", "text/plain")],
        &[("sec-fetch-site", "cross-site")],
    ];
    let body = json!({"user_name": new_name(), "password": PASSWORD}).to_string();
    for version in [Version::H1, Version::H2] {
        for headers in foreign {
            for (method, path) in [("POST", "/register"), ("POST", "/login"), ("DELETE", "/account")] {
                let answer = app.send(version, method, path, headers, body.as_bytes()).await;
                assert_eq!(
                    (answer.status.as_u16(), &answer.json()["reason"]),
                    (403, &"FOREIGN_ORIGIN".into())
                );
            }
            assert_eq!(app.send(version, "GET", "/livez", headers, b"").await.status, 200);
        }
    }
    for dialect in [Dialect::Web, Dialect::WebText] {
        let mut connection = Connection::open(app.address(), dialect.version()).await;
        let path = "/grpcchatter.v1.ChatService/ListChatRooms";
        let outcome = dialect.call(&mut connection, path, &[("origin", "https://evil.example")], &()).await;
        outcome.refused(Code::PermissionDenied, "FOREIGN_ORIGIN");
    }
    // The one registration of the hour is still there.
    let allowed = [("origin", "https://app.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(app.send(Version::H1, "POST", "/register", &allowed, body.as_bytes()).await.status, 200);
}

/// Sends bytes, and returns all that comes back until the connection ends.
async fn told(app: &TestApp, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    within("an answer", socket.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// RFC 9112, 3.2, and RFC 9113, 8.3.1.
async fn one_host_is_named(database: Database) {
    let app = TestApp::start(&database).await;
    for (hosts, status) in
        [("", 400), ("host: a\r\n", 200), ("host: a\r\nhost: a\r\n", 400), ("host: a\r\nhost: b\r\n", 400)]
    {
        let head = format!("GET /livez HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let answer = told(&app, head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{hosts:?}: {answer}");
    }
    let same = app.address().to_string();
    for (host, status) in [(same.as_str(), 200), ("evil.example", 400)] {
        assert_eq!(app.send(Version::H2, "GET", "/livez", &[("host", host)], b"").await.status, status);
    }
}

/// The body comes when the answer is made: the connection carries the next request all the same.
async fn a_refused_body_costs_no_connection(database: Database) {
    let app = TestApp::start(&database).await;
    for (path, length) in [("/account", 7), ("/nothing", 70_000), ("/login", 200_000)] {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        let head = format!("PUT {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
        socket.write_all(&vec![b'x'; length]).await.unwrap();
        socket.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answers = String::new();
        within("two answers", socket.read_to_string(&mut answers)).await.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{path}: {answers}");
        assert!(answers.contains("HTTP/1.1 200 "), "{path}: {answers}");
    }
    let mut h2 = Connection::open(app.address(), Version::H2).await;
    for _ in 0..3 {
        let answer = h2.send(request("POST", "/login", &[], vec![b'x'; 200_000])).await;
        assert_eq!(answer.status, 413);
    }
}

async fn what_is_not_read_is_announced(database: Database) {
    let app = TestApp::start(&database).await;
    for head in ["content-length: 1000000", "content-length: 7\r\nexpect: 100-continue"] {
        let head = format!("POST /nothing HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n");
        let answer = told(&app, head.as_bytes()).await;
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(!answer.contains(" 100 "), "{answer}");
    }
}

async fn every_answer_says_that_its_type_is_to_be_believed(database: Database) {
    let app = TestApp::start(&database).await;
    for (method, path) in
        [("GET", "/"), ("GET", "/livez"), ("GET", "/nothing"), ("POST", "/login"), ("PUT", "/login")]
    {
        let answer = app.send(Version::H1, method, path, &[], b"").await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("strict-transport-security"), "", "{path}");
    }
}

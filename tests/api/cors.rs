//! CORS: which origins may call from a browser, and which headers their scripts may read.

use grpcchatter_proto::v1::ListChatRoomsRequest;

use crate::harness::{Answer, Database, Rpc as _, TestApp, Version, on_each_database};

on_each_database! {
    a_preflight_from_a_listed_origin_is_allowed,
    a_preflight_from_another_origin_is_not,
    errors_are_exposed_to_listed_origins,
}

const ORIGIN: &str = "https://app.example";
const LIST: &str = ListChatRoomsRequest::PATH;

fn preflight(origin: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type,x-grpc-web,x-user-agent,grpc-timeout,authorization,token",
        ),
    ]
}

fn list(answer: &Answer, header: &str) -> Vec<String> {
    answer.header(header).split(',').map(|name| name.trim().to_ascii_lowercase()).collect()
}

async fn a_preflight_from_a_listed_origin_is_allowed(database: Database) {
    let app = TestApp::with(&database, &[("CORS_ORIGINS", ORIGIN)]).await;
    for path in [LIST, "/login", "/account", "/nothing"] {
        let answer = app.send(Version::H1, "OPTIONS", path, &preflight(ORIGIN), b"").await;
        assert!(answer.status.is_success(), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
        let headers = list(&answer, "access-control-allow-headers");
        for name in ["content-type", "x-grpc-web", "x-user-agent", "grpc-timeout", "authorization", "token"] {
            assert!(headers.iter().any(|header| header == name), "{name} in {headers:?}");
        }
        assert!(list(&answer, "access-control-allow-methods").iter().any(|method| method == "post"));
    }
}

/// By default no origin is listed. Origins are compared as a whole.
async fn a_preflight_from_another_origin_is_not(database: Database) {
    let none = TestApp::start(&database).await;
    let answer = none.send(Version::H1, "OPTIONS", LIST, &preflight(ORIGIN), b"").await;
    assert_eq!(answer.header("access-control-allow-origin"), "", "{answer:?}");

    let app = TestApp::with(&database.another().await, &[("CORS_ORIGINS", ORIGIN)]).await;
    for origin in ["https://app.example.evil", "http://app.example", "https://app.example:8443", "null"] {
        let answer = app.send(Version::H1, "OPTIONS", LIST, &preflight(origin), b"").await;
        let allowed = answer.header("access-control-allow-origin");
        assert!(allowed.is_empty() || allowed == ORIGIN, "{origin}: {answer:?}");
    }
}

/// A browser may read the gRPC status, on errors too.
async fn errors_are_exposed_to_listed_origins(database: Database) {
    let app = TestApp::with(&database, &[("CORS_ORIGINS", ORIGIN)]).await;
    for (path, content_type) in
        [(LIST, "application/grpc-web"), (LIST, "application/json"), ("/logout", "application/json")]
    {
        let headers = [("origin", ORIGIN), ("content-type", content_type)];
        let answer = app.send(Version::H1, "POST", path, &headers, b"").await;
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN, "{answer:?}");
        let exposed = list(&answer, "access-control-expose-headers");
        for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
            assert!(exposed.iter().any(|header| header == name), "{name} in {exposed:?}");
        }
    }
}

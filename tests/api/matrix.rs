//! The acceptance matrix: every way to write a request × everything that can be wrong with it × the four
//! transports. What is expected of each cell is written, none is computed.
//!
//! An expectation is the status, the dialect of the answer, and in gRPC's dialects the code, then the reason:
//! `200 grpc 16 TOKEN_MISSING`, `200 grpc-web 0`, `404 json PATH_NOT_FOUND`.

use std::net::SocketAddr;

use futures_util::future::JoinAll;
use grpcchatter_proto::v1::{CreateChatRoomRequest, ListChatRoomsRequest};
use tonic_types::StatusExt as _;

use crate::harness::{
    Answer, Certificate, Connection, Database, Dialect, Rpc, SECRET, TestApp, Token, User, Version,
    on_each_database, report, request,
};

on_each_database! { every_cell_answers_as_written }

/// One way to write a request, in all its spellings, and what is expected of it.
struct Row {
    name: &'static str,
    method: &'static [&'static str],
    path: Path,
    content_type: &'static [&'static str],
    /// Over HTTP/1.1 and over HTTP/2, without TLS and with it, each under the six [`CONDITIONS`] in their order.
    h1: [&'static str; 6],
    h2: [&'static str; 6],
    tls_h1: [&'static str; 6],
    tls_h2: [&'static str; 6],
}

#[derive(Clone, Copy)]
enum Path {
    Page,
    Rest,
    Grpc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Good,
    NoToken,
    WrongKind,
    Expired,
    UnknownMethod,
    TooLarge,
}

const CONDITIONS: [Condition; 6] = [
    Condition::Good,
    Condition::NoToken,
    Condition::WrongKind,
    Condition::Expired,
    Condition::UnknownMethod,
    Condition::TooLarge,
];

/// A spelling of nothing: the header is left out.
const NONE: &[&str] = &[""];

#[rustfmt::skip]
const ROWS: [Row; 14] = [
    Row {
        name: "GET page",
        method: &["GET"], path: Path::Page, content_type: NONE,
        h1: ["200 html", "200 html", "200 html", "200 html", "404 json PATH_NOT_FOUND", "413 json TOO_LARGE"],
        h2: ["200 html", "200 html", "200 html", "200 html", "404 json PATH_NOT_FOUND", "413 json TOO_LARGE"],
        tls_h1: ["200 html", "200 html", "200 html", "200 html", "404 json PATH_NOT_FOUND", "413 json TOO_LARGE"],
        tls_h2: ["200 html", "200 html", "200 html", "200 html", "404 json PATH_NOT_FOUND", "413 json TOO_LARGE"],
    },
    Row {
        name: "POST REST",
        method: &["POST"], path: Path::Rest, content_type: &["application/json"],
        h1: ["204", "401 json TOKEN_MISSING", "401 json TOKEN_WRONG_KIND", "401 json TOKEN_EXPIRED", "404 json PATH_NOT_FOUND", "413 json TOO_LARGE"],
        h2: ["204", "401 json TOKEN_MISSING", "401 json TOKEN_WRONG_KIND", "401 json TOKEN_EXPIRED", "404 json PATH_NOT_FOUND", "413 json TOO_LARGE"],
        tls_h1: ["204", "401 json TOKEN_MISSING", "401 json TOKEN_WRONG_KIND", "401 json TOKEN_EXPIRED", "404 json PATH_NOT_FOUND", "413 json TOO_LARGE"],
        tls_h2: ["204", "401 json TOKEN_MISSING", "401 json TOKEN_WRONG_KIND", "401 json TOKEN_EXPIRED", "404 json PATH_NOT_FOUND", "413 json TOO_LARGE"],
    },
    Row {
        name: "OPTIONS",
        method: &["OPTIONS"], path: Path::Grpc, content_type: NONE,
        h1: ["200 cors", "200 cors", "200 cors", "200 cors", "200 cors", "200 cors"],
        h2: ["200 cors", "200 cors", "200 cors", "200 cors", "200 cors", "200 cors"],
        tls_h1: ["200 cors", "200 cors", "200 cors", "200 cors", "200 cors", "200 cors"],
        tls_h2: ["200 cors", "200 cors", "200 cors", "200 cors", "200 cors", "200 cors"],
    },
    Row {
        name: "HEAD and GET on a gRPC path",
        method: &["HEAD", "GET"], path: Path::Grpc, content_type: NONE,
        h1: ["405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED"],
        h2: ["405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED"],
        tls_h1: ["405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED"],
        tls_h2: ["405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED", "405 json METHOD_NOT_ALLOWED"],
    },
    Row {
        name: "application/grpc",
        method: &["POST"], path: Path::Grpc, content_type: &["application/grpc"],
        h1: ["505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED"],
        h2: ["200 grpc 0", "200 grpc 16 TOKEN_MISSING", "200 grpc 16 TOKEN_WRONG_KIND", "200 grpc 16 TOKEN_EXPIRED", "200 grpc 12 UNKNOWN_METHOD", "200 grpc 8 TOO_LARGE"],
        tls_h1: ["505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED"],
        tls_h2: ["200 grpc 0", "200 grpc 16 TOKEN_MISSING", "200 grpc 16 TOKEN_WRONG_KIND", "200 grpc 16 TOKEN_EXPIRED", "200 grpc 12 UNKNOWN_METHOD", "200 grpc 8 TOO_LARGE"],
    },
    Row {
        name: "application/grpc+proto",
        method: &["POST"], path: Path::Grpc, content_type: &["application/grpc+proto"],
        h1: ["505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED"],
        h2: ["200 grpc 0", "200 grpc 16 TOKEN_MISSING", "200 grpc 16 TOKEN_WRONG_KIND", "200 grpc 16 TOKEN_EXPIRED", "200 grpc 12 UNKNOWN_METHOD", "200 grpc 8 TOO_LARGE"],
        tls_h1: ["505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED"],
        tls_h2: ["200 grpc 0", "200 grpc 16 TOKEN_MISSING", "200 grpc 16 TOKEN_WRONG_KIND", "200 grpc 16 TOKEN_EXPIRED", "200 grpc 12 UNKNOWN_METHOD", "200 grpc 8 TOO_LARGE"],
    },
    Row {
        name: "with a parameter",
        method: &["POST"], path: Path::Grpc, content_type: &["application/grpc-web+proto; charset=utf-8", "application/grpc-web;charset=utf-8", "application/grpc-web ; a=b; c=\"d\""],
        h1: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
        h2: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
        tls_h1: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
        tls_h2: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
    },
    Row {
        name: "upper case",
        method: &["POST"], path: Path::Grpc, content_type: &["APPLICATION/GRPC", "Application/gRPC+Proto; Charset=UTF-8"],
        h1: ["505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED"],
        h2: ["200 grpc 0", "200 grpc 16 TOKEN_MISSING", "200 grpc 16 TOKEN_WRONG_KIND", "200 grpc 16 TOKEN_EXPIRED", "200 grpc 12 UNKNOWN_METHOD", "200 grpc 8 TOO_LARGE"],
        tls_h1: ["505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED", "505 json HTTP_VERSION_NOT_SUPPORTED"],
        tls_h2: ["200 grpc 0", "200 grpc 16 TOKEN_MISSING", "200 grpc 16 TOKEN_WRONG_KIND", "200 grpc 16 TOKEN_EXPIRED", "200 grpc 12 UNKNOWN_METHOD", "200 grpc 8 TOO_LARGE"],
    },
    Row {
        name: "application/grpc-web",
        method: &["POST"], path: Path::Grpc, content_type: &["application/grpc-web", "Application/gRPC-Web"],
        h1: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
        h2: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
        tls_h1: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
        tls_h2: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
    },
    Row {
        name: "application/grpc-web+proto",
        method: &["POST"], path: Path::Grpc, content_type: &["application/grpc-web+proto"],
        h1: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
        h2: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
        tls_h1: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
        tls_h2: ["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"],
    },
    Row {
        name: "application/grpc-web-text",
        method: &["POST"], path: Path::Grpc, content_type: &["application/grpc-web-text", "application/grpc-web-text+proto", "application/grpc-web-text; charset=utf-8"],
        h1: ["200 grpc-web-text 0", "200 grpc-web-text 16 TOKEN_MISSING", "200 grpc-web-text 16 TOKEN_WRONG_KIND", "200 grpc-web-text 16 TOKEN_EXPIRED", "200 grpc-web-text 12 UNKNOWN_METHOD", "200 grpc-web-text 8 TOO_LARGE"],
        h2: ["200 grpc-web-text 0", "200 grpc-web-text 16 TOKEN_MISSING", "200 grpc-web-text 16 TOKEN_WRONG_KIND", "200 grpc-web-text 16 TOKEN_EXPIRED", "200 grpc-web-text 12 UNKNOWN_METHOD", "200 grpc-web-text 8 TOO_LARGE"],
        tls_h1: ["200 grpc-web-text 0", "200 grpc-web-text 16 TOKEN_MISSING", "200 grpc-web-text 16 TOKEN_WRONG_KIND", "200 grpc-web-text 16 TOKEN_EXPIRED", "200 grpc-web-text 12 UNKNOWN_METHOD", "200 grpc-web-text 8 TOO_LARGE"],
        tls_h2: ["200 grpc-web-text 0", "200 grpc-web-text 16 TOKEN_MISSING", "200 grpc-web-text 16 TOKEN_WRONG_KIND", "200 grpc-web-text 16 TOKEN_EXPIRED", "200 grpc-web-text 12 UNKNOWN_METHOD", "200 grpc-web-text 8 TOO_LARGE"],
    },
    Row {
        name: "application/grpc+json",
        method: &["POST"], path: Path::Grpc, content_type: &["application/grpc+json", "application/grpc-web+thrift"],
        h1: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
        h2: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
        tls_h1: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
        tls_h2: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
    },
    Row {
        name: "application/grpcx",
        method: &["POST"], path: Path::Grpc, content_type: &["application/grpcx", "application/grpc-webx", "text/application/grpc", "application/json"],
        h1: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
        h2: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
        tls_h1: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
        tls_h2: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
    },
    Row {
        name: "no content-type",
        method: &["POST"], path: Path::Grpc, content_type: NONE,
        h1: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
        h2: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
        tls_h1: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
        tls_h2: ["415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE", "415 json UNSUPPORTED_MEDIA_TYPE"],
    },
];

/// The site that may call.
const ORIGIN: &str = "https://app.example";

/// The token of each condition.
struct Tokens {
    good: String,
    farewells: Vec<User>,
    wrong_kind: String,
    expired: String,
}

async fn every_cell_answers_as_written(database: Database) {
    let app = TestApp::with(&database, &[("CORS_ORIGINS", ORIGIN)]).await;
    let user = app.user().await;
    let chat = user.join(&user.create_room().await).await;
    let expired = Token::parse(user.token()).claiming("exp", 1_700_000_000).claiming("iat", 1_699_999_000);
    let tokens = Tokens {
        good: user.token().to_owned(),
        // The good call logs out, once on each transport.
        farewells: [(); 4].map(|()| user.log_in_again()).into_iter().collect::<JoinAll<_>>().await,
        wrong_kind: chat.token().to_owned(),
        expired: expired.signed(SECRET, "jwt/user/1"),
    };
    let mut tried = Tried::default();
    tried.all_rows(app.address(), Version::H1, &tokens, |row| row.h1).await;
    tried.all_rows(app.address(), Version::H2, &tokens, |row| row.h2).await;
    // The same server again, which speaks TLS now: what was made before stands.
    let folder = app.stop().await;
    let [cert, key] = Certificate::trusted().write(folder.path());
    let settings = [("CORS_ORIGINS", ORIGIN), (cert.0, &cert.1), (key.0, &key.1)];
    let app = TestApp::on(&database, folder, &settings).await;
    tried.all_rows(app.address(), Version::TlsH1, &tokens, |row| row.tls_h1).await;
    tried.all_rows(app.address(), Version::TlsH2, &tokens, |row| row.tls_h2).await;
    let Tried { cells, requests, wrong } = tried;
    assert_eq!(cells, 4 * 14 * 6);
    let figures = format!(
        "{cells} cells: 2 × 14 × 6 over h1 and h2c, 2 × 14 × 6 over them by TLS; {requests} requests, {} wrong",
        wrong.len()
    );
    report("acceptance matrix", &figures);
    assert!(wrong.is_empty(), "{} of {requests} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What was tried, and what of it was answered otherwise than written.
#[derive(Default)]
struct Tried {
    cells: usize,
    requests: usize,
    wrong: Vec<String>,
}

impl Tried {
    /// Sends every row over one transport.
    async fn all_rows(
        &mut self,
        address: SocketAddr,
        version: Version,
        tokens: &Tokens,
        expectations: fn(&Row) -> [&'static str; 6],
    ) {
        for row in &ROWS {
            for (condition, expected) in CONDITIONS.into_iter().zip(expectations(row)) {
                self.cells += 1;
                for (method, content_type) in spellings(row) {
                    self.requests += 1;
                    let mut connection = Connection::open(address, version).await;
                    let cell = cell(row.path, method, content_type, condition, version, tokens);
                    let answer = connection.send(cell).await;
                    let seen = describe(&answer);
                    // An answer to HEAD has no body to read a reason from.
                    let right = seen == expected || (method == "HEAD" && expected.starts_with(&seen));
                    if !right {
                        let row = row.name;
                        self.wrong.push(format!("{version:?} {row} ({method} {content_type}) {condition:?}: {seen}, not {expected}"));
                    }
                }
            }
        }
    }
}

/// Pairs each method of a row with each of its content types.
fn spellings(row: &Row) -> impl Iterator<Item = (&'static str, &'static str)> {
    let content_types = row.content_type;
    let methods = row.method.iter();
    methods.flat_map(move |method| content_types.iter().map(move |content_type| (*method, *content_type)))
}

/// Writes the request of a cell.
fn cell(
    path: Path,
    method: &str,
    content_type: &str,
    condition: Condition,
    version: Version,
    tokens: &Tokens,
) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let token = match condition {
        Condition::Good if matches!(path, Path::Rest) => Some(tokens.farewells[version as usize].token()),
        Condition::Good | Condition::UnknownMethod | Condition::TooLarge => Some(tokens.good.as_str()),
        Condition::NoToken => None,
        Condition::WrongKind => Some(tokens.wrong_kind.as_str()),
        Condition::Expired => Some(tokens.expired.as_str()),
    };
    let bearer = token.map(|token| format!("Bearer {token}"));
    let path = match (path, condition == Condition::UnknownMethod) {
        (Path::Page, false) => "/",
        (Path::Page, true) => "/nothing-here",
        (Path::Rest, false) => "/logout",
        (Path::Rest, true) => "/nothing-here",
        (Path::Grpc, false) if condition == Condition::TooLarge => CreateChatRoomRequest::PATH,
        (Path::Grpc, false) => ListChatRoomsRequest::PATH,
        (Path::Grpc, true) => "/grpcchatter.v1.ChatService/Nothing",
    };
    let mut headers = vec![("x-cell", "1")];
    if !content_type.is_empty() {
        headers.push(("content-type", content_type));
    }
    if let Some(bearer) = &bearer {
        headers.push(("authorization", bearer));
    }
    if method == "OPTIONS" {
        headers.push(("origin", ORIGIN));
        headers.push(("access-control-request-method", "POST"));
        headers.push(("access-control-request-headers", "content-type,x-grpc-web,authorization"));
    }
    request(method, path, &headers, body(method, content_type, condition))
}

/// Writes a body: gRPC's where the content type is, so that nothing but the condition is wrong.
fn body(method: &str, content_type: &str, condition: Condition) -> bytes::Bytes {
    let too_large = condition == Condition::TooLarge;
    let content_type = content_type.to_ascii_lowercase();
    if !content_type.starts_with("application/grpc") {
        let length = if too_large { 70_000 } else { 0 };
        return vec![b' '; length].into();
    }
    assert_eq!(method, "POST");
    let text = content_type.starts_with("application/grpc-web-text");
    let dialect = if text { Dialect::WebText } else { Dialect::Native };
    let room_name = if too_large { "x".repeat(70_000) } else { String::new() };
    dialect.encode(&CreateChatRoomRequest { room_name, ..Default::default() })
}

/// Says what an answer is, as the expectations are written.
fn describe(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    let content_type = answer.header("content-type");
    let grpc = |name: &str, dialect: Dialect| match dialect.decode(answer) {
        Ok(_) => format!("{status} {name} 0"),
        Err(error) => {
            let reason = error.get_details_error_info().map(|info| info.reason).unwrap_or_default();
            format!("{status} {name} {} {reason}", i32::from(error.code()))
        }
    };
    let kind = content_type.split(';').next().unwrap_or_default();
    match kind {
        "application/grpc-web-text" | "application/grpc-web-text+proto" => {
            grpc("grpc-web-text", Dialect::WebText)
        }
        "application/grpc-web" | "application/grpc-web+proto" => grpc("grpc-web", Dialect::Web),
        "application/grpc" | "application/grpc+proto" => grpc("grpc", Dialect::Native),
        "application/json" if answer.body.is_empty() => format!("{status} json"),
        "application/json" => {
            let body = answer.json();
            assert!(body["error"].is_string(), "{body}");
            match body["reason"].as_str() {
                Some(reason) => format!("{status} json {reason}"),
                None => format!("{status} json"),
            }
        }
        "text/html" => format!("{status} html"),
        _ if answer.header("access-control-allow-origin") == ORIGIN && answer.body.is_empty() => {
            format!("{status} cors")
        }
        "" => format!("{status}"),
        other => format!("{status} {other}"),
    }
}

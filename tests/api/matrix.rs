//! The acceptance matrix: each way to write a request, under each condition, over each transport.
//!
//! Every expectation is written out and none is computed. It is the status, the dialect of the answer, and in a gRPC dialect the
//! code, then the reason: `200 grpc 16 TOKEN_MISSING`, `200 grpc-web 0`, `404 json PATH_NOT_FOUND`.
//!
//! TLS changes no answer: a row has one expectation for HTTP/1.1 and one for HTTP/2, and both hold with TLS and without.

use std::net::SocketAddr;

use futures_util::future::JoinAll;
use grpcchatter_proto::v1::{CreateChatRoomRequest, ListChatRoomsRequest};
use tonic_types::StatusExt as _;

use crate::harness::{
    Answer, Certificate, Connection, Database, Dialect, Rpc, SECRET, TestApp, Token, User, Version,
    on_each_database, report, request,
};

use Expected::{All, Each};

on_each_database! { every_cell_answers_as_written }

/// One way to write a request, in all its spellings, and the answers that are expected.
struct Row {
    name: &'static str,
    methods: &'static [&'static str],
    path: Path,
    content_types: &'static [&'static str],
    /// Over HTTP/1.1, with TLS and without.
    h1: Expected,
    /// Over HTTP/2, with TLS and without.
    h2: Expected,
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

/// The expected answers of a row over one HTTP version.
#[derive(Clone, Copy)]
enum Expected {
    /// One answer under all conditions.
    All(&'static str),
    /// An answer for each of the [`CONDITIONS`], in their order.
    Each([&'static str; 6]),
}

impl Expected {
    fn answers(self) -> [&'static str; 6] {
        match self {
            Self::All(answer) => [answer; 6],
            Self::Each(answers) => answers,
        }
    }
}

#[rustfmt::skip]
const PAGE: Expected = Each(["200 html", "200 html", "200 html", "200 html", "404 json PATH_NOT_FOUND", "413 json TOO_LARGE"]);
#[rustfmt::skip]
const REST: Expected = Each(["204", "401 json TOKEN_MISSING", "401 json TOKEN_WRONG_KIND", "401 json TOKEN_EXPIRED", "404 json PATH_NOT_FOUND", "413 json TOO_LARGE"]);
#[rustfmt::skip]
const GRPC: Expected = Each(["200 grpc 0", "200 grpc 16 TOKEN_MISSING", "200 grpc 16 TOKEN_WRONG_KIND", "200 grpc 16 TOKEN_EXPIRED", "200 grpc 12 UNKNOWN_METHOD", "200 grpc 8 TOO_LARGE"]);
#[rustfmt::skip]
const WEB: Expected = Each(["200 grpc-web 0", "200 grpc-web 16 TOKEN_MISSING", "200 grpc-web 16 TOKEN_WRONG_KIND", "200 grpc-web 16 TOKEN_EXPIRED", "200 grpc-web 12 UNKNOWN_METHOD", "200 grpc-web 8 TOO_LARGE"]);
#[rustfmt::skip]
const WEB_TEXT: Expected = Each(["200 grpc-web-text 0", "200 grpc-web-text 16 TOKEN_MISSING", "200 grpc-web-text 16 TOKEN_WRONG_KIND", "200 grpc-web-text 16 TOKEN_EXPIRED", "200 grpc-web-text 12 UNKNOWN_METHOD", "200 grpc-web-text 8 TOO_LARGE"]);
const PREFLIGHT: Expected = All("200 cors");
const WRONG_METHOD: Expected = All("405 json METHOD_NOT_ALLOWED");
const NEEDS_HTTP2: Expected = All("505 json HTTP_VERSION_NOT_SUPPORTED");
const WRONG_TYPE: Expected = All("415 json UNSUPPORTED_MEDIA_TYPE");

/// The header is left out.
const NONE: &[&str] = &[""];

#[rustfmt::skip]
const ROWS: [Row; 14] = [
    Row { name: "GET page", methods: &["GET"], path: Path::Page, content_types: NONE, h1: PAGE, h2: PAGE },
    Row { name: "POST REST", methods: &["POST"], path: Path::Rest, content_types: &["application/json"], h1: REST, h2: REST },
    Row { name: "OPTIONS", methods: &["OPTIONS"], path: Path::Grpc, content_types: NONE, h1: PREFLIGHT, h2: PREFLIGHT },
    Row { name: "HEAD and GET on a gRPC path", methods: &["HEAD", "GET"], path: Path::Grpc, content_types: NONE, h1: WRONG_METHOD, h2: WRONG_METHOD },
    Row { name: "application/grpc", methods: &["POST"], path: Path::Grpc, content_types: &["application/grpc"], h1: NEEDS_HTTP2, h2: GRPC },
    Row { name: "application/grpc+proto", methods: &["POST"], path: Path::Grpc, content_types: &["application/grpc+proto"], h1: NEEDS_HTTP2, h2: GRPC },
    Row {
        name: "with a parameter", methods: &["POST"], path: Path::Grpc,
        content_types: &["application/grpc-web+proto; charset=utf-8", "application/grpc-web;charset=utf-8", "application/grpc-web ; a=b; c=\"d\""],
        h1: WEB, h2: WEB,
    },
    Row { name: "upper case", methods: &["POST"], path: Path::Grpc, content_types: &["APPLICATION/GRPC", "Application/gRPC+Proto; Charset=UTF-8"], h1: NEEDS_HTTP2, h2: GRPC },
    Row { name: "application/grpc-web", methods: &["POST"], path: Path::Grpc, content_types: &["application/grpc-web", "Application/gRPC-Web"], h1: WEB, h2: WEB },
    Row { name: "application/grpc-web+proto", methods: &["POST"], path: Path::Grpc, content_types: &["application/grpc-web+proto"], h1: WEB, h2: WEB },
    Row {
        name: "application/grpc-web-text", methods: &["POST"], path: Path::Grpc,
        content_types: &["application/grpc-web-text", "application/grpc-web-text+proto", "application/grpc-web-text; charset=utf-8"],
        h1: WEB_TEXT, h2: WEB_TEXT,
    },
    Row { name: "application/grpc+json", methods: &["POST"], path: Path::Grpc, content_types: &["application/grpc+json", "application/grpc-web+thrift"], h1: WRONG_TYPE, h2: WRONG_TYPE },
    Row {
        name: "application/grpcx", methods: &["POST"], path: Path::Grpc,
        content_types: &["application/grpcx", "application/grpc-webx", "text/application/grpc", "application/json"],
        h1: WRONG_TYPE, h2: WRONG_TYPE,
    },
    Row { name: "no content-type", methods: &["POST"], path: Path::Grpc, content_types: NONE, h1: WRONG_TYPE, h2: WRONG_TYPE },
];

/// The origin that CORS allows.
const ORIGIN: &str = "https://app.example";

/// The token of each condition.
struct Tokens {
    good: String,
    /// One session for each transport, since the good REST call logs out.
    to_log_out: Vec<User>,
    wrong_kind: String,
    expired: String,
}

impl Tokens {
    async fn of(app: &TestApp) -> Self {
        let user = app.user().await;
        let chat = user.join(&user.create_room().await).await;
        let expired =
            Token::parse(user.token()).claiming("exp", 1_700_000_000).claiming("iat", 1_699_999_000);
        Self {
            good: user.token().to_owned(),
            to_log_out: [(); 4].map(|()| user.log_in_again()).into_iter().collect::<JoinAll<_>>().await,
            wrong_kind: chat.token().to_owned(),
            expired: expired.signed(SECRET, "jwt/user/1"),
        }
    }
}

async fn every_cell_answers_as_written(database: Database) {
    let app = TestApp::with(&database, &[("CORS_ORIGINS", ORIGIN)]).await;
    let tokens = Tokens::of(&app).await;
    let mut outcome = Outcome::default();
    outcome.send_all(app.address(), Version::H1, &tokens).await;
    outcome.send_all(app.address(), Version::H2, &tokens).await;
    // The same server with TLS, on the same data, so that the tokens stay valid.
    let folder = app.stop().await;
    let [cert, key] = Certificate::trusted().write(folder.path());
    let settings = [("CORS_ORIGINS", ORIGIN), (cert.0, &cert.1), (key.0, &key.1)];
    let app = TestApp::on(&database, folder, &settings).await;
    outcome.send_all(app.address(), Version::TlsH1, &tokens).await;
    outcome.send_all(app.address(), Version::TlsH2, &tokens).await;
    let Outcome { cells, requests, wrong } = outcome;
    assert_eq!(cells, 4 * 14 * 6, "a row or a condition is missing");
    let figures = format!(
        "{cells} cells: 2 × 14 × 6 over h1 and h2c, 2 × 14 × 6 over h1 and h2 with TLS; {requests} requests, {} wrong",
        wrong.len()
    );
    report("acceptance matrix", &figures);
    assert!(wrong.is_empty(), "{} of {requests} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Counts what was sent, and lists the answers that were not as expected.
#[derive(Default)]
struct Outcome {
    cells: usize,
    requests: usize,
    wrong: Vec<String>,
}

impl Outcome {
    /// Sends every row over one transport.
    async fn send_all(&mut self, address: SocketAddr, version: Version, tokens: &Tokens) {
        for row in &ROWS {
            let expected = match version {
                Version::H1 | Version::TlsH1 => row.h1,
                Version::H2 | Version::TlsH2 => row.h2,
            };
            for (condition, expected) in CONDITIONS.into_iter().zip(expected.answers()) {
                self.cells += 1;
                for (method, content_type) in spellings(row) {
                    self.requests += 1;
                    let mut connection = Connection::open(address, version).await;
                    let cell = cell(row.path, method, content_type, condition, version, tokens);
                    let answer = connection.send(cell).await;
                    let seen = describe(&answer);
                    // An answer to HEAD has no body with a reason in it.
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
    let content_types = row.content_types;
    let methods = row.methods.iter();
    methods.flat_map(move |method| content_types.iter().map(move |content_type| (*method, *content_type)))
}

/// Builds the request of a cell.
fn cell(
    path: Path,
    method: &str,
    content_type: &str,
    condition: Condition,
    version: Version,
    tokens: &Tokens,
) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let token = match condition {
        Condition::Good if matches!(path, Path::Rest) => Some(tokens.to_log_out[version as usize].token()),
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

/// Builds a body that fits the content type, so that only the condition can be wrong.
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

/// Describes an answer in the form of the expectations.
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

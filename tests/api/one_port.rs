//! REST, gRPC and gRPC-web on one port: the rules that `matrix.rs` does not cover.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use grpcchatter_proto::v1::{CreateChatRoomRequest, DeleteChatRoomRequest, ListChatRoomsRequest};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{
    Connection, Database, Dialect, Refused as _, Rpc as _, TestApp, Version, on_each_database, within,
};

on_each_database! {
    text_clients_get_text_whatever_they_accept,
    text_padded_anywhere_gets_a_status,
    broken_text_is_refused_with_a_status,
    an_unsupported_content_type_gets_the_supported_ones,
    get_and_head_of_a_method_get_405_with_allow_post,
    an_unknown_method_is_unimplemented_in_the_callers_dialect,
    refusals_are_in_the_callers_dialect,
    grpc_over_http_1_is_refused_with_the_reason,
    chat_over_grpc_web_is_refused_at_once,
    files_are_compressed_and_grpc_is_not,
    health_and_reflection_answer,
    empty_lines_before_a_request_are_ignored_and_an_unknown_method_gets_501,
    an_unknown_path_is_json_and_never_the_page,
}

const LIST: &str = ListChatRoomsRequest::PATH;

async fn text_clients_get_text_whatever_they_accept(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let dialect = Dialect::WebText;
    for accept in [
        None,
        Some(""),
        Some("*/*"),
        Some("application/grpc-web-text"),
        Some("application/grpc-web-text+proto"),
    ] {
        let mut headers = vec![("content-type", "application/grpc-web-text"), ("token", user.token())];
        headers.extend(accept.map(|accept| ("accept", accept)));
        for version in [Version::H1, Version::H2] {
            let answer = app.send(version, "POST", LIST, &headers, &dialect.encode(&())).await;
            assert!(
                answer.header("content-type").starts_with("application/grpc-web-text"),
                "{accept:?} {answer:?}"
            );
            dialect.decode(&answer).unwrap();
        }
    }
}

/// A client may encode each piece separately, so there may be padding in the middle. A text whose pieces end at a group of four is
/// decoded. Any other text gets an answer with a status, and never a hang or a panic.
async fn text_padded_anywhere_gets_a_status(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let room_name = "padded".to_owned();
    let message = CreateChatRoomRequest { room_name, ..Default::default() };
    let bytes = Dialect::Web.encode(&message);
    for cut in 1..bytes.len() {
        let text = [STANDARD.encode(&bytes[..cut]), STANDARD.encode(&bytes[cut..])].concat();
        let headers = [("content-type", "application/grpc-web-text"), ("token", user.token())];
        for version in [Version::H1, Version::H2] {
            let path = CreateChatRoomRequest::PATH;
            let answer = app.send(version, "POST", path, &headers, text.as_bytes()).await;
            match Dialect::WebText.decode(&answer) {
                Ok(messages) => assert_eq!(messages.len(), 1, "cut at {cut}"),
                Err(status) => {
                    assert!(cut % 3 != 0 && status.code() != Code::Unknown, "cut at {cut}: {status:?}");
                }
            }
        }
    }
}

async fn broken_text_is_refused_with_a_status(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let mut wrong = Vec::new();
    for (broken, code, reason) in [
        ("", Code::InvalidArgument, "INVALID_FIELD"),
        ("AAAA", Code::InvalidArgument, "INVALID_FIELD"),
        ("AAAAAAA", Code::InvalidArgument, "INVALID_FIELD"),
        ("=AAAAAA=", Code::InvalidArgument, "INVALID_FIELD"),
        ("====", Code::InvalidArgument, "INVALID_FIELD"),
        ("A", Code::InvalidArgument, "INVALID_FIELD"),
        ("AA==AA", Code::InvalidArgument, "INVALID_FIELD"),
        ("\u{e9}\u{e9}", Code::InvalidArgument, "INVALID_FIELD"),
        ("AAAAAP////8=", Code::InvalidArgument, "INVALID_FIELD"),
        ("*AAAAAA=", Code::InvalidArgument, "INVALID_FIELD"),
    ] {
        let headers = [("content-type", "application/grpc-web-text"), ("token", user.token())];
        for version in [Version::H1, Version::H2] {
            let answer = app.send(version, "POST", LIST, &headers, broken.as_bytes()).await;
            let status = Dialect::WebText.decode(&answer).unwrap_err();
            let seen = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
            if (status.code(), seen.as_str()) != (code, reason) {
                wrong.push(format!("{broken:?} over {version:?}: {status:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn an_unsupported_content_type_gets_the_supported_ones(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    for content_type in
        ["application/json", "application/grpc+json", "application/grpc+thrift", "application/grpcx"]
    {
        let headers = [("content-type", content_type), ("token", user.token())];
        for version in [Version::H1, Version::H2] {
            let answer = app.send(version, "POST", LIST, &headers, b"{}").await;
            assert_eq!(answer.status, 415, "{content_type}: {answer:?}");
            for taken in [
                "application/grpc",
                "application/grpc+proto",
                "application/grpc-web+proto",
                "application/grpc-web-text+proto",
            ] {
                let listed: Vec<_> = answer.header("accept-post").split(',').map(str::trim).collect();
                assert!(listed.contains(&taken), "{answer:?}");
            }
        }
    }
}

async fn get_and_head_of_a_method_get_405_with_allow_post(database: Database) {
    let app = TestApp::start(&database).await;
    for (method, path) in [("GET", LIST), ("HEAD", LIST), ("GET", "/proto.GRPCChatter/Chat")] {
        for version in [Version::H1, Version::H2] {
            let answer = app.send(version, method, path, &[], b"").await;
            assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"), "{method} {path}");
        }
    }
}

async fn an_unknown_method_is_unimplemented_in_the_callers_dialect(database: Database) {
    let app = TestApp::start(&database).await;
    let paths = [
        "/grpcchatter.v1.ChatService/Nope",
        "/proto.GRPCChatter/Nope",
        "/nobody.Service/Nope",
        "/grpcchatter.v1.ChatService",
        "/grpcchatter.v1.ChatService/ListChatRooms/",
        "/",
        "/login",
    ];
    for dialect in Dialect::ALL {
        for path in paths {
            let mut connection = Connection::open(app.address(), dialect.version()).await;
            let outcome = dialect.call(&mut connection, path, &[], &()).await;
            outcome.refused(Code::Unimplemented, "UNKNOWN_METHOD");
        }
    }
    let mut connection = Connection::open(app.address(), Version::H2).await;
    let outcome = Dialect::Native.call(&mut connection, "/proto.GRPCChatter/Nope", &[], &()).await;
    assert_eq!(outcome.unwrap_err().message(), "unknown method Nope for service proto.GRPCChatter");
}

async fn refusals_are_in_the_callers_dialect(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(app.address(), dialect.version()).await;
        dialect.call(&mut connection, LIST, &[], &()).await.refused(Code::Unauthenticated, "TOKEN_MISSING");
        let user = user.with_dialect(dialect);
        let room_name = "x".repeat(70_000);
        let large = CreateChatRoomRequest { room_name, ..Default::default() };
        user.call(large).await.refused(Code::ResourceExhausted, "TOO_LARGE");
        let short_code = "nosuch".to_owned();
        let unknown = DeleteChatRoomRequest { short_code };
        user.call(unknown).await.refused(Code::NotFound, "ROOM_NOT_FOUND");
    }
    let answer = app.anonymous().rest("GET", "/account", serde_json::Value::Null).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["reason"]), (401, &"TOKEN_MISSING".into()));
}

async fn grpc_over_http_1_is_refused_with_the_reason(database: Database) {
    let app = TestApp::start(&database).await;
    let answer = app.send(Version::H1, "POST", LIST, &[("content-type", "application/grpc")], b"").await;
    assert_eq!(answer.status, 505);
    assert!(answer.text().contains("HTTP/2"), "{answer:?}");
}

async fn chat_over_grpc_web_is_refused_at_once(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    for dialect in [Dialect::Web, Dialect::WebText] {
        for path in ["/grpcchatter.v1.ChatService/Chat", "/proto.GRPCChatter/Chat"] {
            for version in [Version::H1, Version::H2] {
                let mut connection = Connection::open(app.address(), version).await;
                let outcome = dialect.call(&mut connection, path, &[("token", member.token())], &()).await;
                outcome.refused(Code::Unimplemented, "BIDI_NEEDS_HTTP2");
            }
        }
    }
}

async fn files_are_compressed_and_grpc_is_not(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let all = ("accept-encoding", "gzip, br, zstd, deflate");
    let page = app.send(Version::H1, "GET", "/", &[all], b"").await;
    assert_eq!((page.status.as_u16(), page.header("content-encoding").is_empty()), (200, false), "{page:?}");
    for (dialect, version) in [(Dialect::Native, Version::H2), (Dialect::Web, Version::H1)] {
        let headers = [("content-type", dialect.content_type()), ("token", user.token()), all];
        let answer = app.send(version, "POST", LIST, &headers, &dialect.encode(&())).await;
        assert_eq!(answer.header("content-encoding"), "", "{answer:?}");
        dialect.decode(&answer).unwrap();
    }
}

/// The fields of `ServerReflectionRequest` that ask for all services.
#[derive(Clone, PartialEq, prost::Message)]
struct ListServices {
    #[prost(string, tag = "7")]
    list_services: String,
}

async fn health_and_reflection_answer(database: Database) {
    let app = TestApp::start(&database).await;
    for path in ["/livez", "/readyz"] {
        for version in [Version::H1, Version::H2] {
            assert_eq!(app.send(version, "GET", path, &[], b"").await.status, 200, "{path}");
        }
    }
    let mut connection = Connection::open(app.address(), Version::H2).await;
    for service in ["", "grpcchatter.v1.ChatService", "proto.GRPCChatter"] {
        let check = service.to_owned();
        let answer = Dialect::Native.call(&mut connection, "/grpc.health.v1.Health/Check", &[], &check).await;
        assert_eq!(answer.unwrap()[0].as_ref(), b"\x08\x01", "SERVING");
        let mut watch = app.anonymous().watch(service).await.unwrap();
        assert_eq!(within("a state", watch.message()).await.unwrap(), Some(1), "SERVING");
    }
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let list = ListServices { list_services: "*".to_owned() };
        let answers = Dialect::Native.call(&mut connection, &path, &[], &list).await.unwrap();
        let text = String::from_utf8_lossy(&answers[0]).into_owned();
        assert!(text.contains("grpcchatter.v1.ChatService"), "{text}");
    }
}

/// RFC 9112, section 2.2, and RFC 9110, section 9.1.
async fn empty_lines_before_a_request_are_ignored_and_an_unknown_method_gets_501(database: Database) {
    let app = TestApp::start(&database).await;
    for (line, status) in [
        ("\r\nGET /livez HTTP/1.1", "HTTP/1.1 200 "),
        ("BREW /livez HTTP/1.1", "HTTP/1.1 501 "),
        ("\r\nBREW /livez HTTP/1.1", "HTTP/1.1 501 "),
    ] {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        let head = format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("an answer", socket.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with(status), "{line:?}: {answer}");
    }
}

async fn an_unknown_path_is_json_and_never_the_page(database: Database) {
    let app = TestApp::start(&database).await;
    for path in ["/nothing", "/register/", "/api", "/../etc/passwd", "/%2e%2e/Cargo.toml", "/index.html/x"] {
        let answer = app.send(Version::H1, "GET", path, &[("accept", "text/html")], b"").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["reason"]),
            (404, &"PATH_NOT_FOUND".into()),
            "{path}"
        );
    }
}

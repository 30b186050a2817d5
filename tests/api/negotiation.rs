//! Negotiation by headers (RFC 9110): encodings of requests and answers, cache validators, and credentials of other schemes.

use bytes::{BufMut as _, Bytes, BytesMut};
use grpcchatter_proto::v1::ListChatRoomsRequest;
use serde_json::json;
use tonic::Code;

use crate::harness::{
    Answer, Connection, Database, Dialect, Kind, METHODS, Refused as _, Rpc as _, TestApp, Version,
    on_each_database, request,
};

on_each_database! {
    a_compressed_call_is_unimplemented_and_names_the_accepted_encodings,
    a_refused_compressed_body_names_the_accepted_encodings,
    a_page_in_the_callers_cache_is_not_sent_again,
    basic_credentials_for_a_proxy_are_no_token,
}

/// Frames bytes as a compressed message.
fn compressed(bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(1);
    frame.put_u32(u32::try_from(bytes.len()).unwrap());
    frame.put_slice(bytes);
    frame.freeze()
}

async fn a_compressed_call_is_unimplemented_and_names_the_accepted_encodings(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut connection = Connection::open(app.address(), Version::H2).await;
    let others = [
        ("/grpc.health.v1.Health/Check", Kind::User),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Kind::User),
    ];
    for (path, kind) in METHODS.into_iter().chain(others) {
        let token = if kind == Kind::Chat { member.token() } else { user.token() };
        for encoding in ["gzip", "zstd", "br"] {
            let headers = [
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("token", token),
                ("grpc-encoding", encoding),
            ];
            let answer = connection.send(request("POST", path, &headers, compressed(b"?"))).await;
            let outcome = Dialect::Native.decode(&answer);
            outcome.refused(Code::Unimplemented, "UNSUPPORTED_ENCODING");
            assert_eq!(answer.header("grpc-accept-encoding"), "identity", "{path} {encoding}");
        }
    }
    let path = ListChatRoomsRequest::PATH;
    let metadata = [("token", user.token()), ("grpc-encoding", "identity")];
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(app.address(), dialect.version()).await;
        dialect.call(&mut connection, path, &metadata, &()).await.unwrap();
    }
}

async fn a_refused_compressed_body_names_the_accepted_encodings(database: Database) {
    let app = TestApp::start(&database).await;
    let body = json!({"user_name": "walker1", "password": "x"}).to_string();
    for (encoding, status, reason) in [
        ("gzip", 415, "UNSUPPORTED_ENCODING"),
        ("identity, gzip", 415, "UNSUPPORTED_ENCODING"),
        ("identity", 401, "INVALID_CREDENTIALS"),
        ("", 401, "INVALID_CREDENTIALS"),
    ] {
        let headers = [("content-encoding", encoding)];
        let answer = app.send(Version::H1, "POST", "/login", &headers, body.as_bytes()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["reason"]),
            (status, &json!(reason)),
            "{encoding}"
        );
        let accepted = if status == 415 { "identity" } else { "" };
        assert_eq!(answer.header("accept-encoding"), accepted, "{encoding}");
    }
}

async fn a_page_in_the_callers_cache_is_not_sent_again(database: Database) {
    let app = TestApp::start(&database).await;
    let get = async |headers: &[(&str, &str)]| app.send(Version::H1, "GET", "/", headers, b"").await;
    let tag = |answer: &Answer| answer.header("etag").to_owned();
    let (plain, gzip, brotli) = (
        get(&[]).await,
        get(&[("accept-encoding", "gzip")]).await,
        get(&[("accept-encoding", "gzip;q=0.5, br")]).await,
    );
    for (answer, encoding) in [(&plain, ""), (&gzip, "gzip"), (&brotli, "br")] {
        assert_eq!((answer.header("content-encoding"), answer.header("vary")), (encoding, "accept-encoding"));
    }
    assert!(tag(&plain) != tag(&gzip) && tag(&gzip) != tag(&brotli), "each encoding has its own tag");
    let refused = get(&[("accept-encoding", "br;q=0, gzip;q=0, *")]).await;
    assert_eq!((refused.header("content-encoding"), tag(&refused)), ("", tag(&plain)));
    let weak = format!("W/{}", tag(&plain));
    let list = format!("\"other\", {weak}");
    for (known, status) in [(weak.as_str(), 304), (&list, 304), ("*", 304), (&tag(&gzip), 200)] {
        let answer = get(&[("if-none-match", known)]).await;
        assert_eq!(answer.status, status, "{known}");
        assert_eq!((answer.header("vary"), tag(&answer)), ("accept-encoding", tag(&plain)));
        assert_eq!(answer.body.is_empty(), status == 304);
    }
}

/// A proxy may ask for its own name and password.
async fn basic_credentials_for_a_proxy_are_no_token(database: Database) {
    const BASIC: (&str, &str) = ("authorization", "Basic d2Fsa2VyMTpwcm94eQ==");
    let app = TestApp::start(&database).await;
    let (user, other) = (app.user().await, app.user().await);
    let bearer = user.bearer().unwrap();
    for ours in [("token", user.token()), ("authorization", bearer.as_str())] {
        let answer = app.send(Version::H1, "GET", "/account", &[BASIC, ours], b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for dialect in Dialect::ALL {
            let mut connection = Connection::open(app.address(), dialect.version()).await;
            let path = ListChatRoomsRequest::PATH;
            dialect.call(&mut connection, path, &[BASIC, ours], &()).await.unwrap();
            let two = [BASIC, ours, ("token", other.token())];
            let outcome = dialect.call(&mut connection, path, &two, &()).await;
            outcome.refused(Code::Unauthenticated, "TWO_TOKENS");
            let outcome = dialect.call(&mut connection, path, &[BASIC], &()).await;
            outcome.refused(Code::Unauthenticated, "TOKEN_MISSING");
        }
    }
}

//! One user's calls through a proxy, while somebody else's are refused on the same connections behind it. The proxies are
//! real, and run with what docs/proxies.md says.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use grpcchatter_proto::v1::ListChatRoomsRequest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{
    Connection, Database, Dialect, HttpProxy, HttpProxyKind, Rpc as _, TestApp, Version, report, request,
    within,
};

/// The calls of the one user.
const CALLS: usize = 600;

#[tokio::test]
async fn nobody_elses_refusals_fail_a_call_through_nginx() {
    nobody_elses_refusals_fail_a_call(HttpProxyKind::Nginx).await;
}

#[tokio::test]
async fn nobody_elses_refusals_fail_a_call_through_caddy() {
    nobody_elses_refusals_fail_a_call(HttpProxyKind::Caddy).await;
}

#[tokio::test]
async fn nobody_elses_refusals_fail_a_call_through_caddy_by_http2() {
    nobody_elses_refusals_fail_a_call(HttpProxyKind::CaddyHttp2).await;
}

#[tokio::test]
async fn nobody_elses_refusals_fail_a_call_through_haproxy() {
    nobody_elses_refusals_fail_a_call(HttpProxyKind::Haproxy).await;
}

#[tokio::test]
async fn nobody_elses_refusals_fail_a_call_through_haproxy_by_http2() {
    nobody_elses_refusals_fail_a_call(HttpProxyKind::HaproxyHttp2).await;
}

async fn nobody_elses_refusals_fail_a_call(kind: HttpProxyKind) {
    let app = TestApp::with(&Database::sqlite(), &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let Some(proxy) = HttpProxy::start(kind, app.address()).await else { return };
    let user = app.user().await;
    let bearer = format!("Bearer {}", user.token());
    let (is_over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let calling = async {
        let mut failed = Vec::new();
        let mut connection = Connection::open(proxy.address(), Version::H1).await;
        for number in 0..CALLS {
            if connection.is_closed() {
                connection = Connection::open(proxy.address(), Version::H1).await;
            }
            let headers = [("authorization", bearer.as_str())];
            let outcome = if number % 2 == 0 {
                let answer = connection.try_send(request("GET", "/account", &headers, "")).await;
                answer.map_err(|error| error.to_string()).and_then(|answer| match answer.status.as_u16() {
                    200 => Ok(()),
                    status => Err(format!("{status} {}", String::from_utf8_lossy(&answer.body))),
                })
            } else {
                let (path, message) = (ListChatRoomsRequest::PATH, ListChatRoomsRequest::default());
                let headers =
                    [("content-type", Dialect::Web.content_type()), ("authorization", bearer.as_str())];
                let message = Dialect::Web.encode(&message);
                let answer = connection.try_send(request("POST", path, &headers, message)).await;
                answer.map_err(|error| error.to_string()).and_then(|answer| match answer.status.as_u16() {
                    200 => Dialect::Web.decode(&answer).map(drop).map_err(|error| error.to_string()),
                    status => Err(format!("{status} {}", String::from_utf8_lossy(&answer.body))),
                })
            };
            failed.extend(outcome.err());
        }
        is_over.store(true, Ordering::Relaxed);
        failed
    };
    let poisoning = async |length: usize, is_chunked: bool| {
        for head in REFUSED.iter().cycle() {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            if refusal(&proxy, head, length, is_chunked).await {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let (failed, ..) = tokio::join!(
        calling,
        poisoning(100_000, false),
        poisoning(200_000, false),
        poisoning(100_000, true),
        poisoning(200_000, true),
    );
    let refused = refused.into_inner();
    report("behind a proxy", &format!("{} of {CALLS} calls failed beside {refused} refusals", failed.len()));
    assert!(failed.is_empty(), "{} of {CALLS} failed: {:?}", failed.len(), failed.first());
    assert!(refused > 20, "{refused}");
    let mut connection = Connection::open(proxy.address(), Version::H1).await;
    assert_eq!(connection.send(request("GET", "/metrics", &[], "")).await.status, 404);
}

/// What is refused before all of it has come.
const REFUSED: [&str; 5] = [
    "PUT /account/password HTTP/1.1\r\ncontent-type: application/json\r\n",
    "POST /nothing HTTP/1.1\r\n",
    "PUT /login HTTP/1.1\r\n",
    "POST /grpcchatter.v1.ChatService/SendMessage HTTP/1.1\r\ncontent-type: text/plain\r\n",
    "POST /login HTTP/1.1\r\ncontent-type: application/json\r\n",
];

/// Asks for something that is refused, and says whether the proxy passed the refusal on: it may as well give up.
async fn refusal(proxy: &HttpProxy, head: &str, length: usize, is_chunked: bool) -> bool {
    let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
    let framing = if is_chunked {
        "transfer-encoding: chunked".to_owned()
    } else {
        format!("content-length: {length}")
    };
    let head = format!("{head}host: {}\r\nconnection: close\r\n{framing}\r\n\r\n", proxy.address());
    let (mut reading, mut writing) = socket.split();
    let write = async {
        writing.write_all(head.as_bytes()).await?;
        for _ in 0..length / 10_000 {
            if is_chunked {
                writing.write_all(b"2710\r\n").await?;
            }
            writing.write_all(&[b'x'; 10_000]).await?;
            if is_chunked {
                writing.write_all(b"\r\n").await?;
            }
        }
        if is_chunked {
            writing.write_all(b"0\r\n\r\n").await?;
        }
        std::io::Result::Ok(())
    };
    let mut answer = Vec::new();
    let both = async { tokio::join!(write, reading.read_to_end(&mut answer)) };
    let (written, read) = within("a refusal", both).await;
    written.is_ok() && read.is_ok() && answer.starts_with(b"HTTP/1.1 4")
}

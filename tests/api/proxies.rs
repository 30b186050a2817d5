//! Calls and streams through a proxy: while somebody else's are refused on the same connections behind it, while those grow
//! old, and while nobody says anything. The proxies are real, and run with what docs/proxies.md says.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use grpcchatter_proto::v1::{ListChatRoomsRequest, SendMessageRequest, subscribe_response::Event};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use crate::harness::{
    Chat, Connection, Database, Dialect, HttpProxy, HttpProxyKind, Member, Rpc as _, Subscription, TestApp,
    Version, new_name, report, request, within,
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

#[tokio::test]
async fn nobody_elses_refusals_fail_a_call_through_envoy() {
    nobody_elses_refusals_fail_a_call(HttpProxyKind::Envoy).await;
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

/// A connection that is closed while a POST is on its way to it would be a 502: it must not be sent a second time.
#[tokio::test]
async fn old_connections_fail_no_call_through_nginx() {
    old_connections_fail_no_call(HttpProxyKind::Nginx).await;
}

#[tokio::test]
async fn old_connections_fail_no_call_through_caddy() {
    old_connections_fail_no_call(HttpProxyKind::Caddy).await;
}

#[tokio::test]
async fn old_connections_fail_no_call_through_haproxy() {
    old_connections_fail_no_call(HttpProxyKind::Haproxy).await;
}

#[tokio::test]
async fn old_connections_fail_no_call_through_envoy() {
    old_connections_fail_no_call(HttpProxyKind::Envoy).await;
}

async fn old_connections_fail_no_call(kind: HttpProxyKind) {
    let settings = [("TRUSTED_PROXIES", "127.0.0.1"), ("CONNECTION_AGE", "20ms")];
    let app = TestApp::with(&Database::sqlite(), &settings).await;
    let Some(proxy) = HttpProxy::start(kind, app.address()).await else { return };
    let mut connection = Connection::open(proxy.address(), Version::H1).await;
    let headers = [("content-type", "application/json")];
    let body = json!({ "refresh_token": "nobody's" }).to_string();
    for number in 0..CALLS {
        let answer = connection.send(request("POST", "/refresh", &headers, body.clone())).await;
        assert_eq!(answer.status, 401, "call {number}: {answer:?}");
    }
}

/// Somebody in a room, who calls at a proxy's address.
async fn behind(app: &TestApp, proxy: SocketAddr) -> Member {
    let user = app.user().await;
    user.join(&user.create_room().await).await.at(proxy)
}

/// Without being told, nginx keeps a stream back until it ends.
#[tokio::test]
async fn a_subscription_is_heard_at_once_through_a_bare_nginx() {
    a_subscription_is_heard_at_once(HttpProxyKind::BareNginx).await;
}

#[tokio::test]
async fn a_subscription_is_heard_at_once_through_nginx() {
    a_subscription_is_heard_at_once(HttpProxyKind::Nginx).await;
}

#[tokio::test]
async fn a_subscription_is_heard_at_once_through_caddy() {
    a_subscription_is_heard_at_once(HttpProxyKind::Caddy).await;
}

#[tokio::test]
async fn a_subscription_is_heard_at_once_through_haproxy() {
    a_subscription_is_heard_at_once(HttpProxyKind::HaproxyHttp2).await;
}

#[tokio::test]
async fn a_subscription_is_heard_at_once_through_envoy() {
    a_subscription_is_heard_at_once(HttpProxyKind::Envoy).await;
}

/// By HTTP/1.1, as a page without TLS speaks; to Caddy by HTTP/2, as browsers do with TLS, since Caddy cuts one stream in some
/// hundred over HTTP/1.1 (caddyserver/caddy#5431).
async fn a_subscription_is_heard_at_once(kind: HttpProxyKind) {
    let version = if kind == HttpProxyKind::Caddy { Version::H2 } else { Version::H1 };
    let app = TestApp::start(&Database::sqlite()).await;
    let Some(proxy) = HttpProxy::start(kind, app.address()).await else { return };
    let member = behind(&app, proxy.address()).await;
    for dialect in [Dialect::Web, Dialect::WebText] {
        let connection = Connection::open(proxy.address(), version).await;
        let mut subscription = Subscription::over(connection, &member.speaking(dialect), None).await.unwrap();
        let Event::Subscribed(_) = subscription.next().await else { panic!("not subscribed first") };
        let hello = SendMessageRequest { body: "hello".into(), client_message_id: new_name() };
        let said = member.speaking(dialect).call(hello).await.unwrap();
        assert_eq!(subscription.message().await.seq, said.message.unwrap().seq);
    }
}

/// With three seconds for a silent stream, as the minutes of these proxies are too long for a test.
#[tokio::test]
async fn a_chat_that_beats_outlives_nginxs_patience() {
    let changes =
        [("grpc_read_timeout 1h", "grpc_read_timeout 3s"), ("grpc_send_timeout 1h", "grpc_send_timeout 3s")];
    a_chat_that_beats_goes_on(HttpProxyKind::Nginx, &changes).await;
}

#[tokio::test]
async fn a_chat_that_beats_outlives_haproxys_patience() {
    let changes = [("timeout client 1h", "timeout client 3s"), ("timeout server 1h", "timeout server 3s")];
    a_chat_that_beats_goes_on(HttpProxyKind::HaproxyHttp2, &changes).await;
}

#[tokio::test]
async fn a_chat_that_beats_outlives_envoys_patience() {
    let changes = [("stream_idle_timeout: 3600s", "stream_idle_timeout: 3s")];
    a_chat_that_beats_goes_on(HttpProxyKind::Envoy, &changes).await;
}

async fn a_chat_that_beats_goes_on(kind: HttpProxyKind, changes: &[(&str, &str)]) {
    let app = TestApp::start(&Database::sqlite()).await;
    let Some(proxy) = HttpProxy::start_with(kind, app.address(), changes).await else { return };
    let member = behind(&app, proxy.for_grpc()).await;
    let mut beating = Chat::beating(&member, "1s").await.unwrap();
    let cut_off = member.elsewhere().chat().await.unwrap().end().await;
    // It comes from the proxy, and names no reason of the server's.
    assert!(cut_off.code() != Code::Ok && cut_off.details().is_empty(), "{cut_off:?}");
    for _ in 0..4 {
        assert!(beating.next().await.heartbeat.is_some());
    }
    assert_eq!(echo(&mut beating, "hello").await, 1);
}

/// Says something, and returns its seq once it is heard.
async fn echo(chat: &mut Chat, body: &str) -> i64 {
    chat.say_as(&new_name(), body).await;
    loop {
        let heard = chat.next().await;
        assert_eq!(heard.rejected, None);
        if heard.heartbeat.is_none() {
            assert_eq!(heard.body, body);
            return heard.seq;
        }
    }
}

#[tokio::test]
async fn a_chat_says_more_than_a_megabyte_through_nginx() {
    a_chat_says_more_than_a_megabyte(HttpProxyKind::Nginx).await;
}

#[tokio::test]
async fn a_chat_says_more_than_a_megabyte_through_caddy() {
    a_chat_says_more_than_a_megabyte(HttpProxyKind::Caddy).await;
}

#[tokio::test]
async fn a_chat_says_more_than_a_megabyte_through_haproxy() {
    a_chat_says_more_than_a_megabyte(HttpProxyKind::HaproxyHttp2).await;
}

#[tokio::test]
async fn a_chat_says_more_than_a_megabyte_through_envoy() {
    a_chat_says_more_than_a_megabyte(HttpProxyKind::Envoy).await;
}

async fn a_chat_says_more_than_a_megabyte(kind: HttpProxyKind) {
    let app = TestApp::with(&Database::sqlite(), &[("MAX_MESSAGE_SIZE", "32KiB")]).await;
    let Some(proxy) = HttpProxy::start(kind, app.address()).await else { return };
    let mut chat = behind(&app, proxy.for_grpc()).await.chat().await.unwrap();
    let body = "x".repeat(30 << 10);
    for seq in 1..=40 {
        assert_eq!(echo(&mut chat, &body).await, seq);
    }
}

/// Without being told what to ask for it asks `OPTIONS /`, and takes a server out that answers 405.
#[tokio::test]
async fn haproxys_own_question_keeps_the_server_in() {
    let app = TestApp::start(&Database::sqlite()).await;
    let changes = [("option httpchk GET /readyz", "option httpchk"), (" check", " check inter 20ms fall 1")];
    let kind = HttpProxyKind::HaproxyHttp2;
    let Some(proxy) = HttpProxy::start_with(kind, app.address(), &changes).await else { return };
    let mut figures = Connection::open(app.address(), Version::H1).await;
    let asked = async |figures: &mut Connection| {
        let told = figures.send(request("GET", "/metrics", &[], "")).await;
        let asked = told.text().lines().filter(|line| line.contains("method=\"OPTIONS\""));
        asked.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let asking = async { while asked(&mut figures).await < 5 {} };
    within("five questions", asking).await;
    // A question that a busy machine answers late takes it out until the next one.
    let served = async {
        let mut connection = Connection::open(proxy.address(), Version::H1).await;
        while connection.send(request("GET", "/livez", &[], "")).await.status != 200 {
            connection = Connection::open(proxy.address(), Version::H1).await;
        }
    };
    within("an answer through the proxy", served).await;
}

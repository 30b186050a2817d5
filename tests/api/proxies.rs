//! Calls and streams through a proxy: while calls of others are refused on the same connections behind it, while those connections
//! are closed for their age, and while streams are silent. The proxies are real, with the configurations of docs/proxies.md.

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

/// How many calls the user makes.
const CALLS: usize = 600;

#[tokio::test]
async fn refusals_of_others_fail_no_call_through_nginx() {
    refusals_of_others_fail_no_call(HttpProxyKind::Nginx).await;
}

#[tokio::test]
async fn refusals_of_others_fail_no_call_through_caddy() {
    refusals_of_others_fail_no_call(HttpProxyKind::Caddy).await;
}

#[tokio::test]
async fn refusals_of_others_fail_no_call_through_caddy_over_http2() {
    refusals_of_others_fail_no_call(HttpProxyKind::CaddyHttp2).await;
}

#[tokio::test]
async fn refusals_of_others_fail_no_call_through_haproxy() {
    refusals_of_others_fail_no_call(HttpProxyKind::Haproxy).await;
}

#[tokio::test]
async fn refusals_of_others_fail_no_call_through_haproxy_over_http2() {
    refusals_of_others_fail_no_call(HttpProxyKind::HaproxyHttp2).await;
}

#[tokio::test]
async fn refusals_of_others_fail_no_call_through_envoy() {
    refusals_of_others_fail_no_call(HttpProxyKind::Envoy).await;
}

async fn refusals_of_others_fail_no_call(kind: HttpProxyKind) {
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
    let sending_refused = async |length: usize, is_chunked: bool| {
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
        sending_refused(100_000, false),
        sending_refused(200_000, false),
        sending_refused(100_000, true),
        sending_refused(200_000, true),
    );
    let refused = refused.into_inner();
    report("behind a proxy", &format!("{} of {CALLS} calls failed beside {refused} refusals", failed.len()));
    assert!(failed.is_empty(), "{} of {CALLS} failed: {:?}", failed.len(), failed.first());
    assert!(refused > 20, "{refused}");
    let mut connection = Connection::open(proxy.address(), Version::H1).await;
    assert_eq!(connection.send(request("GET", "/metrics", &[], "")).await.status, 404);
}

/// Requests that are refused before their whole body has arrived.
const REFUSED: [&str; 5] = [
    "PUT /account/password HTTP/1.1\r\ncontent-type: application/json\r\n",
    "POST /nothing HTTP/1.1\r\n",
    "PUT /login HTTP/1.1\r\n",
    "POST /grpcchatter.v1.ChatService/SendMessage HTTP/1.1\r\ncontent-type: text/plain\r\n",
    "POST /login HTTP/1.1\r\ncontent-type: application/json\r\n",
];

/// Sends such a request. Returns whether the proxy passed the refusal on; it may also give up.
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

/// If a connection were closed while a POST is on its way, the proxy would answer 502, since it must not repeat a POST.
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

/// A member of a room who calls through a proxy.
async fn member_through(app: &TestApp, proxy: SocketAddr) -> Member {
    let user = app.user().await;
    user.join(&user.create_room().await).await.at(proxy)
}

/// By default nginx buffers a stream until it ends.
#[tokio::test]
async fn a_subscription_is_delivered_at_once_through_a_bare_nginx() {
    a_subscription_is_delivered_at_once(HttpProxyKind::BareNginx).await;
}

#[tokio::test]
async fn a_subscription_is_delivered_at_once_through_nginx() {
    a_subscription_is_delivered_at_once(HttpProxyKind::Nginx).await;
}

#[tokio::test]
async fn a_subscription_is_delivered_at_once_through_caddy() {
    a_subscription_is_delivered_at_once(HttpProxyKind::Caddy).await;
}

#[tokio::test]
async fn a_subscription_is_delivered_at_once_through_haproxy() {
    a_subscription_is_delivered_at_once(HttpProxyKind::HaproxyHttp2).await;
}

#[tokio::test]
async fn a_subscription_is_delivered_at_once_through_envoy() {
    a_subscription_is_delivered_at_once(HttpProxyKind::Envoy).await;
}

/// Over HTTP/1.1, like a page without TLS. To Caddy over HTTP/2, like browsers with TLS, since Caddy cuts one in some hundred streams
/// over HTTP/1.1 (caddyserver/caddy#5431).
async fn a_subscription_is_delivered_at_once(kind: HttpProxyKind) {
    let version = if kind == HttpProxyKind::Caddy { Version::H2 } else { Version::H1 };
    let app = TestApp::start(&Database::sqlite()).await;
    let Some(proxy) = HttpProxy::start(kind, app.address()).await else { return };
    let member = member_through(&app, proxy.address()).await;
    for dialect in [Dialect::Web, Dialect::WebText] {
        let connection = Connection::open(proxy.address(), version).await;
        let mut subscription =
            Subscription::over(connection, &member.with_dialect(dialect), None).await.unwrap();
        let Event::Subscribed(_) = subscription.next().await else { panic!("not subscribed first") };
        let hello = SendMessageRequest { body: "hello".into(), client_message_id: new_name() };
        let said = member.with_dialect(dialect).call(hello).await.unwrap();
        assert_eq!(subscription.message().await.seq, said.message.unwrap().seq);
    }
}

/// The proxy's timeout for silent streams is set to 3 s, since its minutes are too long for a test.
#[tokio::test]
async fn a_chat_with_heartbeats_outlives_nginxs_timeout() {
    let changes =
        [("grpc_read_timeout 1h", "grpc_read_timeout 3s"), ("grpc_send_timeout 1h", "grpc_send_timeout 3s")];
    a_chat_with_heartbeats_outlives_the_timeout(HttpProxyKind::Nginx, &changes).await;
}

#[tokio::test]
async fn a_chat_with_heartbeats_outlives_haproxys_timeout() {
    let changes = [("timeout client 1h", "timeout client 3s"), ("timeout server 1h", "timeout server 3s")];
    a_chat_with_heartbeats_outlives_the_timeout(HttpProxyKind::HaproxyHttp2, &changes).await;
}

#[tokio::test]
async fn a_chat_with_heartbeats_outlives_envoys_timeout() {
    let changes = [("stream_idle_timeout: 3600s", "stream_idle_timeout: 3s")];
    a_chat_with_heartbeats_outlives_the_timeout(HttpProxyKind::Envoy, &changes).await;
}

async fn a_chat_with_heartbeats_outlives_the_timeout(kind: HttpProxyKind, changes: &[(&str, &str)]) {
    let app = TestApp::start(&Database::sqlite()).await;
    let Some(proxy) = HttpProxy::start_with(kind, app.address(), changes).await else { return };
    let member = member_through(&app, proxy.for_grpc()).await;
    let mut chat = Chat::with_heartbeats(&member, "1s").await.unwrap();
    let cut_off = member.on_new_connection().chat().await.unwrap().end().await;
    // The status comes from the proxy, so it has no reason of the server.
    assert!(cut_off.code() != Code::Ok && cut_off.details().is_empty(), "{cut_off:?}");
    for _ in 0..4 {
        assert!(chat.next().await.heartbeat.is_some());
    }
    assert_eq!(echo(&mut chat, "hello").await, 1);
}

/// Sends a message, and returns its seq once it is echoed.
async fn echo(chat: &mut Chat, body: &str) -> i64 {
    chat.say_as(&new_name(), body).await;
    loop {
        let response = chat.next().await;
        assert_eq!(response.rejected, None);
        if response.heartbeat.is_none() {
            assert_eq!(response.body, body);
            return response.seq;
        }
    }
}

#[tokio::test]
async fn a_chat_sends_more_than_a_megabyte_through_nginx() {
    a_chat_sends_more_than_a_megabyte(HttpProxyKind::Nginx).await;
}

#[tokio::test]
async fn a_chat_sends_more_than_a_megabyte_through_caddy() {
    a_chat_sends_more_than_a_megabyte(HttpProxyKind::Caddy).await;
}

#[tokio::test]
async fn a_chat_sends_more_than_a_megabyte_through_haproxy() {
    a_chat_sends_more_than_a_megabyte(HttpProxyKind::HaproxyHttp2).await;
}

#[tokio::test]
async fn a_chat_sends_more_than_a_megabyte_through_envoy() {
    a_chat_sends_more_than_a_megabyte(HttpProxyKind::Envoy).await;
}

async fn a_chat_sends_more_than_a_megabyte(kind: HttpProxyKind) {
    let app = TestApp::with(&Database::sqlite(), &[("MAX_MESSAGE_SIZE", "32KiB")]).await;
    let Some(proxy) = HttpProxy::start(kind, app.address()).await else { return };
    let mut chat = member_through(&app, proxy.for_grpc()).await.chat().await.unwrap();
    let body = "x".repeat(30 << 10);
    for seq in 1..=40 {
        assert_eq!(echo(&mut chat, &body).await, seq);
    }
}

/// By default HAProxy probes with `OPTIONS /`, and takes a server out that answers 405.
#[tokio::test]
async fn haproxys_default_probe_keeps_the_server_in() {
    let app = TestApp::start(&Database::sqlite()).await;
    let changes = [("option httpchk GET /readyz", "option httpchk"), (" check", " check inter 20ms fall 1")];
    let kind = HttpProxyKind::HaproxyHttp2;
    let Some(proxy) = HttpProxy::start_with(kind, app.address(), &changes).await else { return };
    let mut metrics = Connection::open(app.address(), Version::H1).await;
    let probes = async |metrics: &mut Connection| {
        let answer = metrics.send(request("GET", "/metrics", &[], "")).await;
        let probes = answer.text().lines().filter(|line| line.contains("method=\"OPTIONS\""));
        probes.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let probing = async { while probes(&mut metrics).await < 5 {} };
    within("five probes", probing).await;
    // On a busy machine a late answer to a probe takes the server out until the next one.
    let served = async {
        let mut connection = Connection::open(proxy.address(), Version::H1).await;
        while connection.send(request("GET", "/livez", &[], "")).await.status != 200 {
            connection = Connection::open(proxy.address(), Version::H1).await;
        }
    };
    within("an answer through the proxy", served).await;
}

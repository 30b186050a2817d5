//! How connections start and end: how long they may be idle, the last answer on them, the headers of streams, and the log lines of
//! closed connections.

use grpcchatter_proto::v1::SubscribeRequest;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use crate::harness::{
    Chat, Connection, Database, Process, Refused as _, SUBSCRIBE, TestApp, Version, frame, on_each_database,
    request, within,
};

on_each_database! {
    an_idle_connection_is_kept_longer_than_a_silent_one,
    an_idle_connection_is_closed_after_the_configured_time,
    without_keep_alive_every_answer_closes_its_connection,
    an_old_connection_is_closed_with_an_answer,
    a_drain_closes_connections_with_an_answer,
    every_stream_has_headers_that_forbid_buffering,
    a_chat_sends_heartbeats_if_its_client_asks,
    an_invalid_heartbeat_interval_is_refused,
    a_load_balancers_options_probe_is_answered,
    a_connection_that_is_not_http_is_closed_and_logged_once_a_minute,
    a_trusted_proxy_has_no_connection_limit,
    the_file_limit_is_raised_or_logged_as_too_low,
}

/// A bare connection over HTTP/1.1.
struct RawConnection(TcpStream);

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    /// An answer after which the connection stays open.
    KeptOpen,
    /// An answer with `connection: close`.
    Last,
    /// The connection was closed without an answer.
    Closed,
}

impl RawConnection {
    async fn open(address: std::net::SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Sends a request and reads the answer.
    async fn ask(&mut self) -> Answered {
        let asked = b"POST /nothing HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
        if self.0.write_all(asked).await.is_err() {
            return Answered::Closed;
        }
        let mut answer = Vec::new();
        let reading = async {
            loop {
                let text = String::from_utf8_lossy(&answer);
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.split("content-length: ").nth(1).unwrap();
                    if body.len() >= length.lines().next().unwrap().parse::<usize>().unwrap() {
                        return if head.contains("\r\nconnection: close") {
                            Answered::Last
                        } else {
                            Answered::KeptOpen
                        };
                    }
                }
                if !matches!(self.0.read_buf(&mut answer).await, Ok(1..)) {
                    return Answered::Closed;
                }
            }
        };
        within("an answer", reading).await
    }

    /// Sends requests until an answer is the last.
    ///
    /// # Panics
    /// If the connection is closed without such an answer.
    async fn ask_until_last(&mut self) {
        loop {
            match self.ask().await {
                Answered::KeptOpen => {}
                Answered::Last => return,
                Answered::Closed => panic!("the connection was closed without a last answer"),
            }
        }
    }

    /// Awaits the end of the connection.
    async fn end(mut self) {
        let mut rest = Vec::new();
        // A reset ends the connection too.
        drop(within("the end of the connection", self.0.read_to_end(&mut rest)).await);
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

async fn an_idle_connection_is_kept_longer_than_a_silent_one(database: Database) {
    let app = TestApp::start(&database).await;
    let mut kept = RawConnection::open(app.address()).await;
    assert_eq!(kept.ask().await, Answered::KeptOpen);
    // The first byte of a connection has 10 s. In an earlier version the next request had no more.
    let silent = RawConnection::open(app.address()).await;
    silent.end().await;
    assert_eq!(kept.ask().await, Answered::KeptOpen);
}

async fn an_idle_connection_is_closed_after_the_configured_time(database: Database) {
    let app = TestApp::with(&database, &[("KEEP_ALIVE_TIMEOUT", "50ms")]).await;
    let mut kept = RawConnection::open(app.address()).await;
    assert_eq!(kept.ask().await, Answered::KeptOpen);
    kept.end().await;
}

async fn without_keep_alive_every_answer_closes_its_connection(database: Database) {
    let app = TestApp::with(&database, &[("KEEP_ALIVE_TIMEOUT", "0")]).await;
    for version in [Version::H1, Version::H2] {
        let answer = app.send(version, "GET", "/livez", &[], b"").await;
        assert_eq!(answer.header("connection"), if version == Version::H1 { "close" } else { "" });
    }
    let mut kept = RawConnection::open(app.address()).await;
    assert_eq!(kept.ask().await, Answered::Last);
    kept.end().await;
}

async fn an_old_connection_is_closed_with_an_answer(database: Database) {
    let app = TestApp::with(&database, &[("CONNECTION_AGE", "200ms")]).await;
    // On a busy machine a connection may be too old before its first answer.
    let young = async {
        loop {
            let mut connection = RawConnection::open(app.address()).await;
            if connection.ask().await == Answered::KeptOpen {
                return connection;
            }
        }
    };
    let mut idle = within("an answer that is not the last", young).await;
    for _ in 0..5 {
        let mut busy = RawConnection::open(app.address()).await;
        busy.ask_until_last().await;
        busy.end().await;
    }
    // It is too old by now, but was not closed: a request on it is still answered.
    assert_eq!(idle.ask().await, Answered::Last);
    idle.end().await;
}

async fn a_drain_closes_connections_with_an_answer(database: Database) {
    for delay in ["0", "1s"] {
        let folder = TempDir::new().unwrap();
        let database = database.another().await;
        let server = Process::start(&database, &folder, &[("DRAIN_DELAY", delay)]).await;
        let mut kept = RawConnection::open(server.address()).await;
        assert_eq!(kept.ask().await, Answered::KeptOpen);
        server.terminate();
        kept.ask_until_last().await;
        kept.end().await;
        assert!(server.wait().await.0.success());
    }
}

async fn every_stream_has_headers_that_forbid_buffering(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let subscribe = frame(&SubscribeRequest::default());
    for (path, message) in [(SUBSCRIBE, subscribe), ("/grpc.health.v1.Health/Watch", frame(&String::new()))] {
        for (version, content_type) in [
            (Version::H2, "application/grpc"),
            (Version::H2, "application/grpc-web"),
            (Version::H1, "application/grpc-web"),
            (Version::H1, "application/grpc-web-text"),
        ] {
            let body = if content_type.ends_with("text") {
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &message).into()
            } else {
                message.to_vec()
            };
            let headers = [("content-type", content_type), ("token", member.token())];
            let mut connection = Connection::open(app.address(), version).await;
            let answer = connection.start(request("POST", path, &headers, body)).await;
            assert_eq!(answer.headers()["x-accel-buffering"], "no", "{path} {content_type}");
            assert_eq!(answer.headers()["cache-control"], "no-store, no-transform", "{path} {content_type}");
        }
    }
    let chat = member.chat().await.unwrap();
    assert_eq!(chat.metadata.get("x-accel-buffering").unwrap(), "no");
    // An answer that is no stream has no such header.
    let answer = app.send(Version::H1, "GET", "/livez", &[], b"").await;
    assert_eq!(answer.header("x-accel-buffering"), "");
}

async fn a_chat_sends_heartbeats_if_its_client_asks(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut old = member.chat().await.unwrap();
    let mut new = Chat::with_heartbeats(&member, "1s").await.unwrap();
    assert_eq!(new.metadata.get("grpcchatter-heartbeat").unwrap(), "1s");
    assert_eq!(old.metadata.get("grpcchatter-heartbeat"), None);
    for _ in 0..2 {
        let beat = new.next().await;
        assert_eq!(beat.heartbeat.map(|heartbeat| heartbeat.last_seq), Some(0));
        assert_eq!((beat.seq, beat.body.as_str(), beat.rejected), (0, "", None));
    }
    let said = member.say("hello").await;
    let heard = old.next().await;
    assert_eq!((heard.seq, heard.heartbeat), (said.seq, None), "a client that did not ask gets no heartbeat");
    loop {
        let heard = new.next().await;
        match heard.heartbeat {
            Some(beat) if beat.last_seq == said.seq => break,
            Some(beat) => assert_eq!(beat.last_seq, 0),
            None => assert_eq!(heard.seq, said.seq),
        }
    }
}

async fn an_invalid_heartbeat_interval_is_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    for silence in ["0s", "301s", "+2s", "00002s", "20", "1m", "", "-1s", "1.5s", "99999999999999999999s"] {
        let status =
            Chat::with_heartbeats(&member, silence).await.refused(Code::InvalidArgument, "INVALID_FIELD");
        assert!(status.message().contains("grpcchatter-heartbeat"), "{status:?}");
    }
    for silence in ["1s", "300s"] {
        Chat::with_heartbeats(&member, silence).await.unwrap();
    }
}

async fn a_load_balancers_options_probe_is_answered(database: Database) {
    let app = TestApp::start(&database).await;
    for version in [Version::H1, Version::H2] {
        let answer = app.send(version, "OPTIONS", "/", &[], b"").await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (204, "GET, HEAD, OPTIONS"));
        let answer = app.send(version, "POST", "/", &[], b"{}").await;
        let mut allowed: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!((answer.status.as_u16(), allowed), (405, vec!["GET", "HEAD", "OPTIONS"]));
    }
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(b"OPTIONS / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within("an answer", socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 204 "), "{answer}");
    let nothing = app.send(Version::H1, "OPTIONS", "/nothing", &[], b"").await;
    assert_eq!(nothing.status, 404);
}

async fn a_connection_that_is_not_http_is_closed_and_logged_once_a_minute(database: Database) {
    let folder = TempDir::new().unwrap();
    let mut server = Process::start(&database, &folder, &[]).await;
    for (bytes, said) in [
        (
            &b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 8080\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
            "PROXY protocol",
        ),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x1f\x90", ""),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "began with TLS"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", ""),
    ] {
        let mut connection = RawConnection::open(server.address()).await;
        connection.0.write_all(bytes).await.unwrap();
        connection.end().await;
        if !said.is_empty() {
            let line = server.says(said).await;
            assert!(line.contains("WARN") && line.contains("127.0.0.1"), "{line}");
        }
    }
    server.terminate();
    let (_, log) = server.wait().await;
    for said in ["PROXY protocol", "began with TLS"] {
        assert_eq!(log.matches(said).count(), 1, "{log}");
    }
}

async fn a_trusted_proxy_has_no_connection_limit(database: Database) {
    for proxies in ["127.0.0.1", "192.0.2.1"] {
        let (folder, database) = (TempDir::new().unwrap(), database.another().await);
        let settings = [("TRUSTED_PROXIES", proxies), ("MAX_CONNECTIONS_PER_ADDRESS", "3")];
        let mut server = Process::start(&database, &folder, &settings).await;
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut connection = RawConnection::open(server.address()).await;
            assert_eq!(connection.ask().await, Answered::KeptOpen);
            open.push(connection);
        }
        for _ in 0..5 {
            let mut connection = RawConnection::open(server.address()).await;
            let is_trusted = proxies == "127.0.0.1";
            assert_eq!(
                connection.ask().await,
                if is_trusted { Answered::KeptOpen } else { Answered::Closed }
            );
            open.push(connection);
        }
        if proxies != "127.0.0.1" {
            let line = server.says("over the limit was closed;").await;
            assert!(line.contains("WARN") && line.contains("MAX_CONNECTIONS_PER_ADDRESS"), "{line}");
        }
        server.terminate();
        drop(open);
        let (_, log) = server.wait().await;
        let said = log.matches("over the limit was closed;").count();
        assert_eq!(said, usize::from(proxies != "127.0.0.1"), "only the first of a minute is logged: {log}");
    }
}

async fn the_file_limit_is_raised_or_logged_as_too_low(database: Database) {
    for (command, needed, is_enough) in [
        ("ulimit -Sn 128", "100", true),
        ("ulimit -n 256", "100", true),
        ("ulimit -n 256", "1000", false),
        ("ulimit -n 256", "0", true),
    ] {
        let (folder, database) = (TempDir::new().unwrap(), database.another().await);
        let server = Process::after(command, &database, &folder, &[("MAX_CONNECTIONS", needed)]).await;
        let limits = std::fs::read_to_string(server.proc().join("limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let [soft, hard] = [3, 4].map(|nth| line.split_whitespace().nth(nth).unwrap());
        assert_eq!(soft, hard, "{command}");
        let log = server.kill().await;
        assert_eq!(
            log.contains("256 files may be open, and MAX_CONNECTIONS needs 1064"),
            !is_enough,
            "{log}"
        );
    }
}

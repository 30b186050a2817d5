//! What the listener takes, and for how long: whoever goes beyond is turned away alone. Beside each of them somebody
//! chats and must notice nothing. The limits at the door are in `door.rs`, those of streams in `chat.rs`.

use std::time::Duration;

use bytes::Bytes;
use grpcchatter_proto::v1::{
    ListChatRoomsRequest, ResumePoint, subscribe_request::Start, subscribe_response::Event,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tonic::Code;

use crate::harness::{
    Connection, DEADLINE, Database, Dialect, PASSWORD, Refused as _, Rpc as _, TestApp, Version, Victim,
    new_name, on_each_database, request, within,
};

on_each_database! {
    a_thousand_connections_from_one_address_leave_those_who_are_inside_alone,
    connections_in_all_are_bounded,
    heads_that_are_too_large_are_refused,
    a_body_that_does_not_come_is_given_up,
    a_message_that_does_not_come_is_given_up,
    a_prefix_that_says_four_gigabytes_reserves_nothing,
    a_connection_that_says_no_more_than_the_preface_is_closed,
    an_old_connections_streams_end_with_a_status_and_resume,
    only_a_trusted_proxy_says_who_calls,
}

/// Opens so many connections that say nothing, and returns how many of them are closed within a few seconds; those
/// that are taken have ten to say something.
async fn closed_of(app: &TestApp, count: usize, at_least: usize) -> usize {
    let mut reading = JoinSet::new();
    for _ in 0..count {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        reading.spawn(async move { drop(socket.read_u8().await) });
    }
    let mut closed = 0;
    let closing = async {
        while closed < at_least {
            reading.join_next().await;
            closed += 1;
        }
    };
    drop(tokio::time::timeout(Duration::from_secs(8), closing).await);
    closed
}

async fn a_thousand_connections_from_one_address_leave_those_who_are_inside_alone(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
    let refused = 1_000 - 256;
    assert_eq!(closed_of(&app, 1_000, refused).await, refused);
    victim.noticed_nothing().await;
}

async fn connections_in_all_are_bounded(database: Database) {
    let settings = [("MAX_CONNECTIONS", "30"), ("MAX_CONNECTIONS_PER_ADDRESS", "0")];
    let app = TestApp::with(&database, &settings).await;
    let victim = Victim::of(&app).await;
    assert_eq!(closed_of(&app, 100, 70).await, 70);
    victim.noticed_nothing().await;
}

async fn heads_that_are_too_large_are_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
    let many: String = (0..65).map(|nth| format!("x-{nth}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(70 << 10));
    for headers in [many, long] {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        let head = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        // The answer may come before all of it is taken.
        drop(socket.write_all(head.as_bytes()).await);
        let mut answer = Vec::new();
        drop(within("a refusal", socket.read_to_end(&mut answer)).await);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let value = "y".repeat(17 << 10);
    let mut connection = Connection::open(app.address(), Version::H2).await;
    let answer = connection.send(request("GET", "/livez", &[("x", &value)], "")).await;
    assert_eq!(answer.status, 431);
    // The connection has done no harm: it is served on.
    assert_eq!(connection.send(request("GET", "/livez", &[], "")).await.status, 200);
    victim.noticed_nothing().await;
}

async fn a_body_that_does_not_come_is_given_up(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(b"POST /login HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    let mut answer = [0; 12];
    within("an answer", socket.read_exact(&mut answer)).await.unwrap();
    assert!([b"HTTP/1.1 408", b"HTTP/1.1 504"].contains(&&answer), "{}", String::from_utf8_lossy(&answer));
    victim.noticed_nothing().await;
}

async fn a_message_that_does_not_come_is_given_up(database: Database) {
    let app = TestApp::start(&database).await;
    let (victim, user) = (Victim::of(&app).await, app.user().await);
    let socket = TcpStream::connect(app.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let head = http::Request::post(format!("http://{}{}", app.address(), ListChatRoomsRequest::PATH))
        .header("content-type", "application/grpc")
        .header("token", user.token())
        .body(())
        .unwrap();
    let (answer, mut body) = client.ready().await.unwrap().send_request(head, false).unwrap();
    body.send_data(Bytes::from_static(&[0, 0, 0, 0, 9, 1]), false).unwrap();
    let answer = within("an answer", answer).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4", "DEADLINE_EXCEEDED: {answer:?}");
    victim.noticed_nothing().await;
}

async fn a_prefix_that_says_four_gigabytes_reserves_nothing(database: Database) {
    let app = TestApp::start(&database).await;
    let (victim, user) = (Victim::of(&app).await, app.user().await);
    let body = [0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3];
    for dialect in Dialect::ALL {
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body);
        let body = if dialect == Dialect::WebText { text.as_bytes() } else { &body };
        let headers = [("content-type", dialect.content_type()), ("token", user.token())];
        for _ in 0..20 {
            let answer =
                app.send(dialect.version(), "POST", ListChatRoomsRequest::PATH, &headers, body).await;
            dialect.decode(&answer).refused(Code::ResourceExhausted, "TOO_LARGE");
        }
    }
    victim.noticed_nothing().await;
}

/// It is found by HTTP/2's pings: twenty seconds, and ten for the answer.
async fn a_connection_that_says_no_more_than_the_preface_is_closed(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(2 * DEADLINE, socket.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is still open");
    victim.noticed_nothing().await;
}

async fn an_old_connections_streams_end_with_a_status_and_resume(database: Database) {
    let app = TestApp::with(&database, &[("CONNECTION_AGE", "1s")]).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut last = ResumePoint::default();
    for round in 0..2 {
        let start = Some(Start::After(last.clone()));
        let stream = member.elsewhere().subscribe(start).await.unwrap();
        let said = member.at(app.address()).say(&format!("in round {round}")).await;
        let (events, status) = stream.rest().await;
        status.refused(Code::Unavailable, "DRAINING");
        let heard: Vec<_> = events
            .into_iter()
            .filter_map(|event| if let Event::Message(message) = event { Some(message.seq) } else { None })
            .collect();
        assert_eq!(heard, [said.seq], "no gap and no repeat");
        last = ResumePoint { seq: said.seq, message_id: said.message_id };
    }
}

async fn only_a_trusted_proxy_says_who_calls(database: Database) {
    for (proxies, believed) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let settings = [("TRUSTED_PROXIES", proxies), ("REGISTRATIONS_PER_HOUR", "1")];
        let app = TestApp::with(&database.another().await, &settings).await;
        let mut statuses = Vec::new();
        for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
            let account = json!({"user_name": new_name(), "password": PASSWORD}).to_string();
            let headers = [("x-forwarded-for", client)];
            let answer = app.send(Version::H1, "POST", "/register", &headers, account.as_bytes()).await;
            statuses.push(answer.status.as_u16());
        }
        let expected = if believed { [200, 429, 200] } else { [200, 429, 429] };
        assert_eq!(statuses, expected, "{proxies}");
    }
}

//! The limits of connections and requests: a client above one is refused, and a bystander is not slowed down. Rate limits are in
//! `rate_limits.rs`, the limits of streams in `chat.rs`.

use bytes::Bytes;
use grpcchatter_proto::v1::{
    ListChatRoomsRequest, ListMessagesRequest, ResumePoint, subscribe_request::Start,
    subscribe_response::Event,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tonic::Code;

use crate::harness::{
    Bystander, Connection, DEADLINE, Database, Dialect, Member, PASSWORD, Refused as _, Rpc as _, TestApp,
    Version,
    flood::{END_HEADERS, HEADERS, first_reset, frame as flood_frame, post_of},
    frame, h2, h2_post, new_name, on_each_database, request, within,
};

on_each_database! {
    a_thousand_connections_from_one_address_do_not_slow_connected_clients_down,
    the_total_of_connections_is_limited,
    headers_that_are_too_large_are_refused,
    a_body_that_does_not_come_times_out,
    a_message_that_does_not_come_times_out,
    unread_answers_are_reset,
    auxiliary_streams_are_limited_by_connection,
    a_watch_ends_with_a_status_when_its_connection_is_old,
    a_length_prefix_of_four_gigabytes_allocates_nothing,
    a_connection_that_sends_only_the_preface_is_closed,
    streams_of_an_old_connection_end_with_a_status_and_resume,
    only_a_trusted_proxy_sets_the_client_address,
    a_connection_has_at_most_a_thousand_streams,
}

/// Opens `count` connections at once, sends a request on each, and returns how many are closed without an answer. The others stay
/// open until then.
async fn count_closed(app: &TestApp, count: usize) -> usize {
    let mut sockets = Vec::new();
    for _ in 0..count {
        sockets.push(TcpStream::connect(app.address()).await.unwrap());
    }
    let mut asking = JoinSet::new();
    for mut socket in sockets {
        asking.spawn(async move {
            // The server may close the connection before the request.
            drop(socket.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await);
            let answered = within("an answer or an end", socket.read_u8()).await.is_ok();
            (socket, answered)
        });
    }
    asking.join_all().await.iter().filter(|(_, answered)| !answered).count()
}

async fn a_thousand_connections_from_one_address_do_not_slow_connected_clients_down(database: Database) {
    let app = TestApp::start(&database).await;
    let bystander = Bystander::of(&app).await;
    let refused = 1_000 - 256;
    assert!(count_closed(&app, 1_000).await >= refused);
    bystander.was_not_slowed_down().await;
}

async fn the_total_of_connections_is_limited(database: Database) {
    let settings = [("MAX_CONNECTIONS", "30"), ("MAX_CONNECTIONS_PER_ADDRESS", "0")];
    let app = TestApp::with(&database, &settings).await;
    let bystander = Bystander::of(&app).await;
    // When most connections are in use, one address may have only a few of the rest.
    assert!(count_closed(&app, 100).await >= 70);
    bystander.was_not_slowed_down().await;
}

async fn headers_that_are_too_large_are_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let bystander = Bystander::of(&app).await;
    let many: String = (0..65).map(|nth| format!("x-{nth}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(70 << 10));
    for headers in [many, long] {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        let head = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        // The answer may come before everything is sent.
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
    // The connection stays usable.
    assert_eq!(connection.send(request("GET", "/livez", &[], "")).await.status, 200);
    bystander.was_not_slowed_down().await;
}

async fn a_body_that_does_not_come_times_out(database: Database) {
    let app = TestApp::start(&database).await;
    let bystander = Bystander::of(&app).await;
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(b"POST /login HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    let mut answer = String::new();
    // The connection is closed too: otherwise the rest of the body would be read as the next request.
    within("an answer", socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"REQUEST_TIMEOUT\""), "{answer}");
    bystander.was_not_slowed_down().await;
}

async fn a_message_that_does_not_come_times_out(database: Database) {
    let app = TestApp::start(&database).await;
    let (bystander, user) = (Bystander::of(&app).await, app.user().await);
    let headers = [("content-type", "application/grpc"), ("token", user.token())];
    let head = h2_post(ListChatRoomsRequest::PATH, &headers);
    let (answer, mut body) = h2(app.address()).await.send_request(head, false).unwrap();
    body.send_data(Bytes::from_static(&[0, 0, 0, 0, 9, 1]), false).unwrap();
    let answer = within("an answer", answer).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4", "DEADLINE_EXCEEDED: {answer:?}");
    bystander.was_not_slowed_down().await;
}

/// Makes `count` calls over a connection whose streams have windows of this size, reads no answer, and returns once each was reset.
async fn unread_are_reset(member: &Member, window: u32, count: usize) {
    let address = member.address;
    let socket = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (mut client, connection) =
        builder.initial_window_size(window).handshake::<_, Bytes>(socket).await.unwrap();
    tokio::spawn(connection);
    let mut waiting = JoinSet::new();
    for nth in 0..count {
        client = client.ready().await.unwrap();
        let rest = nth % 10 == 0;
        let request = if rest {
            http::Request::get(format!("http://{address}/openapi.json"))
        } else {
            http::Request::post(format!("http://{address}{}", ListMessagesRequest::PATH))
                .header("content-type", "application/grpc")
        };
        let request = request.header("token", member.token()).body(()).unwrap();
        let (answer, mut body) = client.send_request(request, rest).unwrap();
        if !rest {
            body.send_data(frame(&ListMessagesRequest::default()), true).unwrap();
        }
        waiting.spawn(async move {
            let answer = within("a head", answer).await.unwrap();
            // On a busy machine some calls exceed their deadline. Their refusals have no body.
            let is_refused = answer.headers().contains_key("grpc-status");
            let mut answer = answer.into_body();
            let end = async {
                loop {
                    match answer.data().await {
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return error.reason(),
                        None => return None,
                    }
                }
            };
            let end = tokio::time::timeout(3 * DEADLINE, end).await.expect("an end");
            (!is_refused).then_some(end)
        });
    }
    let ends: Vec<_> = waiting.join_all().await.into_iter().flatten().collect();
    println!("{} of {count} unread answers were reset with a window of {window}", ends.len());
    assert!(ends.len() > count / 10, "a tenth is REST's, and has no such limit");
    assert!(ends.iter().all(|end| *end == Some(h2::Reason::CANCEL)), "{ends:?}");
}

async fn unread_answers_are_reset(database: Database) {
    let app = TestApp::start(&database).await;
    let (bystander, user) = (Bystander::of(&app).await, app.user().await);
    let member = user.join(&user.create_room().await).await;
    for _ in 0..10 {
        member.say(&"x".repeat(1_000)).await;
    }
    // With a window of one byte the answer starts. This client's buffers allow only 90 of those.
    tokio::join!(unread_are_reset(&member, 0, 1_000), unread_are_reset(&member, 1, 90));
    bystander.was_not_slowed_down().await;
}

async fn auxiliary_streams_are_limited_by_connection(database: Database) {
    let app = TestApp::start(&database).await;
    let caller = app.anonymous();
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(caller.watch("").await.unwrap());
    }
    caller.watch("").await.refused(Code::ResourceExhausted, "TOO_MANY_STREAMS");
    caller.on_new_connection().watch("").await.unwrap();
    drop(open);
}

async fn a_watch_ends_with_a_status_when_its_connection_is_old(database: Database) {
    let app = TestApp::with(&database, &[("CONNECTION_AGE", "1s")]).await;
    let mut watch = app.anonymous().watch("").await.unwrap();
    let end = async {
        loop {
            if let Err(status) = watch.message().await {
                return status;
            }
        }
    };
    within("the end of the watch", end).await.refused(Code::Unavailable, "DRAINING");
}

async fn a_length_prefix_of_four_gigabytes_allocates_nothing(database: Database) {
    let app = TestApp::start(&database).await;
    let (bystander, user) = (Bystander::of(&app).await, app.user().await);
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
    bystander.was_not_slowed_down().await;
}

/// HTTP/2 pings find it: one after 20 s, whose answer has 10 s.
async fn a_connection_that_sends_only_the_preface_is_closed(database: Database) {
    let app = TestApp::start(&database).await;
    let bystander = Bystander::of(&app).await;
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(2 * DEADLINE, socket.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is still open");
    bystander.was_not_slowed_down().await;
}

async fn streams_of_an_old_connection_end_with_a_status_and_resume(database: Database) {
    let app = TestApp::with(&database, &[("CONNECTION_AGE", "1s")]).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut last = ResumePoint::default();
    let mut rounds = 0;
    // On a busy machine a stream may end before it has delivered the messages. Then the next one does.
    while rounds < 2 || last.seq < 2 {
        let start = Some(Start::After(last.clone()));
        let stream = member.on_new_connection().subscribe(start).await.unwrap();
        if rounds < 2 {
            member.at(app.address()).say(&format!("in round {rounds}")).await;
        }
        let (events, status) = stream.rest().await;
        status.refused(Code::Unavailable, "DRAINING");
        for event in events {
            let Event::Message(message) = event else { continue };
            assert_eq!(message.seq, last.seq + 1, "no gap and no repeat");
            last = ResumePoint { seq: message.seq, message_id: message.message_id };
        }
        rounds += 1;
    }
}

async fn only_a_trusted_proxy_sets_the_client_address(database: Database) {
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

async fn a_connection_has_at_most_a_thousand_streams(database: Database) {
    let app = TestApp::start(&database).await;
    let bystander = Bystander::of(&app).await;
    // Calls without their bodies. They are sent in batches, and few batches, since the first calls time out after 10 s.
    let login = post_of("/login", "application/json");
    let calls: Vec<_> =
        (0..=1_000).map(|nth| flood_frame(HEADERS, END_HEADERS, 2 * nth + 1, &login)).collect();
    let batches = calls.chunks(250).map(|batch| batch.concat());
    let reset = first_reset(app.address(), batches, async || bystander.more_round_trips().await).await;
    // REFUSED_STREAM (RFC 9113, section 7): the client may retry.
    assert_eq!(reset, (2 * 1_000 + 1, 7));
    bystander.was_not_slowed_down().await;
}

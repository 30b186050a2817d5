//! What the listener takes, and for how long: whoever goes beyond is turned away alone. Beside each of them somebody
//! chats and must notice nothing. The limits at the door are in `door.rs`, those of streams in `chat.rs`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use grpcchatter_proto::v1::{
    ListChatRoomsRequest, ListMessagesRequest, ResumePoint, SubscribeRequest, SubscribeResponse,
    subscribe_request::Start, subscribe_response::Event,
};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use prost::Message as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tonic::Code;

use crate::harness::{
    Connection, DEADLINE, Database, Dialect, Frame, Member, PASSWORD, Process, Refused as _, Rpc as _,
    SUBSCRIBE, TestApp, Version, Victim,
    flood::{END_HEADERS, HEADERS, first_reset, frame as flood_frame, post_of},
    frame, h2, h2_post, new_name, on_each_database, report, request, within,
};

on_each_database! {
    a_thousand_connections_from_one_address_leave_those_who_are_inside_alone,
    connections_in_all_are_bounded,
    heads_that_are_too_large_are_refused,
    a_body_that_does_not_come_is_given_up,
    a_message_that_does_not_come_is_given_up,
    answers_that_are_not_read_are_reset,
    side_streams_are_bounded_by_connection,
    a_watch_ends_with_a_status_when_its_connection_is_old,
    a_prefix_that_says_four_gigabytes_reserves_nothing,
    a_connection_that_says_no_more_than_the_preface_is_closed,
    an_old_connections_streams_end_with_a_status_and_resume,
    only_a_trusted_proxy_says_who_calls,
    a_connection_has_a_thousand_streams_and_no_more,
    a_connection_on_which_nothing_is_read_is_closed_and_one_on_which_something_is_stays,
}

/// Opens so many connections at once, asks something on each, and returns how many are closed without an answer. The others
/// stay open until all have been heard of.
async fn closed_of(app: &TestApp, count: usize) -> usize {
    let mut sockets = Vec::new();
    for _ in 0..count {
        sockets.push(TcpStream::connect(app.address()).await.unwrap());
    }
    let mut asking = JoinSet::new();
    for mut socket in sockets {
        asking.spawn(async move {
            // What is closed may be so before it is asked.
            drop(socket.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await);
            let answered = within("an answer or an end", socket.read_u8()).await.is_ok();
            (socket, answered)
        });
    }
    asking.join_all().await.iter().filter(|(_, answered)| !answered).count()
}

async fn a_thousand_connections_from_one_address_leave_those_who_are_inside_alone(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
    let refused = 1_000 - 256;
    assert!(closed_of(&app, 1_000).await >= refused);
    victim.noticed_nothing().await;
}

async fn connections_in_all_are_bounded(database: Database) {
    let settings = [("MAX_CONNECTIONS", "30"), ("MAX_CONNECTIONS_PER_ADDRESS", "0")];
    let app = TestApp::with(&database, &settings).await;
    let victim = Victim::of(&app).await;
    // Where most are taken, one address may have few of the rest.
    assert!(closed_of(&app, 100).await >= 70);
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
    let mut answer = String::new();
    // The connection is closed with it: the rest of the body would be read as the next request.
    within("an answer", socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"REQUEST_TIMEOUT\""), "{answer}");
    victim.noticed_nothing().await;
}

async fn a_message_that_does_not_come_is_given_up(database: Database) {
    let app = TestApp::start(&database).await;
    let (victim, user) = (Victim::of(&app).await, app.user().await);
    let headers = [("content-type", "application/grpc"), ("token", user.token())];
    let head = h2_post(ListChatRoomsRequest::PATH, &headers);
    let (answer, mut body) = h2(app.address()).await.send_request(head, false).unwrap();
    body.send_data(Bytes::from_static(&[0, 0, 0, 0, 9, 1]), false).unwrap();
    let answer = within("an answer", answer).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4", "DEADLINE_EXCEEDED: {answer:?}");
    victim.noticed_nothing().await;
}

/// Asks for so many answers over a connection whose streams have windows of this size, reads nothing, and returns once
/// each was reset.
async fn are_reset(member: &Member, window: u32, count: usize) {
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
            // On a busy machine some take longer than a call may: they were refused, and have nothing to be read.
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
    println!("{} of {count} answers lay unread with a window of {window}, and were reset", ends.len());
    assert!(ends.len() > count / 10, "a tenth is REST's, and has no such limit");
    assert!(ends.iter().all(|end| *end == Some(h2::Reason::CANCEL)), "{ends:?}");
}

async fn answers_that_are_not_read_are_reset(database: Database) {
    let app = TestApp::start(&database).await;
    let (victim, user) = (Victim::of(&app).await, app.user().await);
    let member = user.join(&user.create_room().await).await;
    for _ in 0..10 {
        member.say(&"x".repeat(1_000)).await;
    }
    // With room for a byte the answer begins, and is not read either. More such frames the client here would not take.
    tokio::join!(are_reset(&member, 0, 1_000), are_reset(&member, 1, 90));
    victim.noticed_nothing().await;
}

async fn side_streams_are_bounded_by_connection(database: Database) {
    let app = TestApp::start(&database).await;
    let caller = app.anonymous();
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(caller.watch("").await.unwrap());
    }
    caller.watch("").await.refused(Code::ResourceExhausted, "TOO_MANY_STREAMS");
    caller.elsewhere().watch("").await.unwrap();
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
    let mut rounds = 0;
    // On a busy machine a stream may end before it was told what was said meanwhile: the next one tells it.
    while rounds < 2 || last.seq < 2 {
        let start = Some(Start::After(last.clone()));
        let stream = member.elsewhere().subscribe(start).await.unwrap();
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

async fn a_connection_has_a_thousand_streams_and_no_more(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
    // Calls whose bodies do not come; some at a time, since it is their number that is tested, and few times, since the first
    // have ten seconds.
    let login = post_of("/login", "application/json");
    let calls: Vec<_> =
        (0..=1_000).map(|nth| flood_frame(HEADERS, END_HEADERS, 2 * nth + 1, &login)).collect();
    let batches = calls.chunks(250).map(|batch| batch.concat());
    let reset = first_reset(app.address(), batches, async || victim.goes_on().await).await;
    // REFUSED_STREAM (RFC 9113, 7): it may be called again.
    assert_eq!(reset, (2 * 1_000 + 1, 7));
    victim.noticed_nothing().await;
}

/// Opens subscriptions that say as much as a member says, on a connection with windows of 16 KiB.
async fn unread(member: &Member, count: usize) -> (Connection, Vec<Incoming>) {
    let mut connection = Connection::narrow(member.address).await;
    let mut bodies = Vec::new();
    for _ in 0..count {
        let headers = [("content-type", Dialect::Web.content_type()), ("token", member.token())];
        let body = Dialect::Web.encode(&SubscribeRequest::default());
        let answer = connection.start(request("POST", SUBSCRIBE, &headers, body)).await;
        assert!(!answer.headers().contains_key("grpc-status"), "{answer:?}");
        bodies.push(answer.into_body());
    }
    (connection, bodies)
}

/// Returns how much memory a server says that it uses, in KiB.
async fn memory(server: &Process) -> u64 {
    let mut connection = Connection::open(server.address(), Version::H1).await;
    let figures = connection.send(request("GET", "/metrics", &[], "")).await;
    let line = figures.text().lines().find(|line| line.starts_with("process_resident_memory_bytes "));
    line.unwrap().rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64 / 1024
}

/// A stream that is not read is set aside after thirty seconds; where nothing else is left on its connection, that is
/// closed after thirty more.
async fn a_connection_on_which_nothing_is_read_is_closed_and_one_on_which_something_is_stays(
    database: Database,
) {
    const READERS: u64 = 30;
    const LIMIT: Duration = Duration::from_secs(60);
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[("STREAMS_PER_USER", "0")]).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let before = memory(&server).await;
    let mut idle = Vec::new();
    for _ in 0..READERS {
        idle.push(unread(&member, 1).await);
    }
    let (mut mixed, mut bodies) = unread(&member, 2).await;
    let mut frames = Dialect::Web.frames();
    let mut read = bodies.pop().unwrap();
    // One and a half megabytes, if somebody kept it for each of them.
    let mut chat = member.elsewhere().chat().await.unwrap();
    let body = format!("cAnary{}", "x".repeat(2_000));
    for round in 0..16 {
        for nth in 0..50 {
            chat.say_as(&format!("{round}-{nth}"), &body).await;
        }
        for _ in 0..50 {
            assert!(chat.next().await.rejected.is_none());
        }
    }
    let begun = Instant::now();
    let held = memory(&server).await.saturating_sub(before);
    // What the room keeps for all of them, and what an allocator keeps, is besides.
    assert!(held <= READERS * 256 + 16 * 1024, "{held} KiB for {READERS} streams that are not read");

    // One of the two on the other connection is read all the time, and so is the chat.
    let mut pace = tokio::time::interval(Duration::from_millis(250));
    let (mut last_said, mut heard, mut closed_after) = (800, 0, None);
    while closed_after.is_none_or(|closed| begun.elapsed() < closed + Duration::from_secs(3)) {
        pace.tick().await;
        last_said += 1;
        chat.say_as(&last_said.to_string(), "as always").await;
        assert_eq!(chat.next().await.seq, last_said);
        while heard < last_said {
            match frames.next() {
                Some(Frame::Message(message)) => {
                    let response = SubscribeResponse::decode(message).unwrap();
                    if let Some(Event::Message(message)) = response.event {
                        assert_eq!(message.seq, heard + 1);
                        heard = message.seq;
                    }
                }
                Some(Frame::Trailers(trailers)) => panic!("the stream that is read ended: {trailers:?}"),
                None => {
                    let part = within("what was said", read.frame()).await.unwrap().unwrap();
                    frames.push(part.data_ref().unwrap());
                }
            }
        }
        if closed_after.is_none() && idle.iter().all(|(connection, _)| connection.is_closed()) {
            closed_after = Some(begun.elapsed());
        }
        assert!(closed_after.is_some() || begun.elapsed() < LIMIT + DEADLINE, "they are still open");
    }
    report(
        "parked streams",
        &format!("{held} KiB for {READERS}, closed after {:.0?}", closed_after.unwrap()),
    );
    assert!(!mixed.is_closed(), "one stream that is not read closes nothing");
    assert_eq!(mixed.send(request("GET", "/livez", &[], "")).await.status, 200);
    server.kill().await;
}

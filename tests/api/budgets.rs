//! The limits of each caller: calls, rooms, sessions, and waits for the database. A caller over a limit gets a retry delay in their
//! dialect, and affects no other caller. Honest use stays within the limits.

use std::time::{Duration, Instant};

use grpcchatter_proto::v1::{
    CreateChatRoomRequest, ListChatRoomsRequest, ListMessagesRequest, SendMessageRequest,
};
use http::uri::PathAndQuery;
use serde_json::json;
use tokio::{net::TcpSocket, sync::Mutex, task::JoinSet};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use crate::harness::{
    Caller, Connection, Database, Dialect, Refused as _, TestApp, Version, on_each_database, request, within,
};

on_each_database! {
    a_caller_over_the_rate_gets_a_retry_delay_in_their_dialect,
    a_caller_without_a_token_is_charged_to_their_network,
    a_refused_call_is_charged_too,
    repeated_refusals_are_delayed_in_every_dialect,
    each_request_on_an_auxiliary_stream_is_charged,
    requests_to_health_and_reflection_have_a_small_limit,
    probes_are_answered_when_their_network_is_over_its_rate,
    honest_use_stays_within_the_limits,
    five_thousand_streams_that_reconnect_at_once_are_all_accepted,
    messages_are_stored_while_many_other_writes_wait,
    rooms_of_one_user_are_bounded,
    a_login_over_the_limit_ends_the_oldest_session,
}

/// Removes the harness's settings, so that the server's own defaults hold.
const DEFAULTS: [(&str, &str); 8] = [
    ("READS_PER_SECOND", ""),
    ("WRITES_PER_SECOND", ""),
    ("CALLS_PER_USER", ""),
    ("ANONYMOUS_PER_SECOND", ""),
    ("ANONYMOUS_CALLS", ""),
    ("ROOMS_PER_USER", ""),
    ("SESSIONS_PER_USER", ""),
    ("MESSAGES_PER_SECOND", ""),
];

/// More calls than a burst allows, also on a busy machine, where the bucket drains meanwhile.
const MANY: usize = 20;

async fn a_caller_over_the_rate_gets_a_retry_delay_in_their_dialect(database: Database) {
    let settings = [("READS_PER_SECOND", "5"), ("WRITES_PER_SECOND", "1")];
    let app = TestApp::with(&database, &settings).await;
    let neighbour = app.user().await;
    for dialect in Dialect::ALL {
        let user = app.user().await.with_dialect(dialect);
        // Each call costs five reads.
        let (mut listed, mut refused) = (0, Ok(()));
        while refused.is_ok() && listed < MANY {
            refused = user.call(ListChatRoomsRequest::default()).await.map(drop);
            listed += usize::from(refused.is_ok());
        }
        assert!((4..MANY).contains(&listed), "{dialect:?}: {listed}");
        let delay = refused.as_ref().unwrap_err().get_details_retry_info().and_then(|info| info.retry_delay);
        assert!(delay.is_some_and(|delay| delay <= Duration::from_secs(1)), "{dialect:?}: {delay:?}");
        refused.refused(Code::ResourceExhausted, "RATE_LIMITED");
        // Writes have their own bucket.
        let (mut made, mut refused) = (0, Ok(()));
        while refused.is_ok() && made < MANY {
            refused = user.call(CreateChatRoomRequest::default()).await.map(drop);
            made += usize::from(refused.is_ok());
        }
        assert!((4..MANY).contains(&made), "{dialect:?}: {made}");
        refused.refused(Code::ResourceExhausted, "RATE_LIMITED");
    }
    let user = app.user().await;
    let mut shown = 0;
    let refused = loop {
        let answer = user.rest("GET", "/account", json!({})).await;
        if answer.status != 200 || shown == 5 * MANY {
            break answer;
        }
        shown += 1;
    };
    assert!((20..5 * MANY).contains(&shown), "{shown}");
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
    assert_eq!(refused.json()["reason"], "RATE_LIMITED");
    neighbour.call(ListChatRoomsRequest::default()).await.unwrap();
}

/// Connects from this address of the loopback network.
async fn from(host: [u8; 4], app: &TestApp) -> Connection {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((host, 0).into()).unwrap();
    let socket = within("a connection", socket.connect(app.address())).await.unwrap();
    Connection::over(socket, app.address(), Version::H2).await
}

/// Sends a request `count` times, and returns how many were refused with 429.
async fn count_refused(connection: &mut Connection, count: usize, method: &str, path: &str) -> usize {
    let mut refused = 0;
    for _ in 0..count {
        let answer = connection.send(request(method, path, &[], "")).await;
        refused += usize::from(answer.status == 429);
    }
    refused
}

async fn a_caller_without_a_token_is_charged_to_their_network(database: Database) {
    let app = TestApp::with(&database, &[("ANONYMOUS_PER_SECOND", "1")]).await;
    let (mut here, mut there) = (from([127, 0, 0, 2], &app).await, from([127, 0, 0, 3], &app).await);
    assert!(count_refused(&mut here, 20, "GET", "/openapi.json").await >= 5);
    assert_eq!(count_refused(&mut there, 5, "GET", "/openapi.json").await, 0);
    let user = app.user().await;
    let mut member = from([127, 0, 0, 2], &app).await;
    let token = user.bearer().unwrap();
    let headers = [("authorization", token.as_str())];
    let answer = member.send(request("GET", "/account", &headers, "")).await;
    assert_eq!(answer.status, 200, "a caller with a token is charged to their user");
}

async fn a_refused_call_is_charged_too(database: Database) {
    let app = TestApp::with(&database, &[("ANONYMOUS_PER_SECOND", "1")]).await;
    for (host, method, path) in [
        (2, "GET", "/account"),
        (3, "POST", "/nowhere"),
        (4, "GET", "/grpcchatter.v1.ChatService/SendMessage"),
    ] {
        let mut connection = from([127, 0, 0, host], &app).await;
        assert!(count_refused(&mut connection, 20, method, path).await >= 5, "{method} {path}");
    }
}

/// The delay itself is the rule here, so it is measured. It is at least as long as asserted on any machine.
async fn repeated_refusals_are_delayed_in_every_dialect(database: Database) {
    let app = TestApp::with(&database, &[("ANONYMOUS_PER_SECOND", "1")]).await;
    let mut refused = JoinSet::new();
    for (host, path, content_type) in [
        (2, "/account", ""),
        (3, "/grpcchatter.v1.ChatService/ListMessages", "application/grpc"),
        (4, "/grpcchatter.v1.ChatService/ListMessages", "application/grpc-web+proto"),
        (5, "/grpcchatter.v1.ChatService/ListMessages", "application/grpc-web-text+proto"),
        // Refused by an earlier layer than the others.
        (6, "/grpcchatter.v1.ChatService/ListMessages", "text/plain"),
    ] {
        let mut connection = from([127, 0, 0, host], &app).await;
        refused.spawn(async move {
            let started = Instant::now();
            // The bucket allows 10, and 20 more refusals are answered at once. Meanwhile 10 drain each second.
            for _ in 0..45 {
                let headers = [("content-type", content_type), ("te", "trailers")];
                connection.send(request("POST", path, &headers, "")).await;
            }
            (started.elapsed(), path, content_type)
        });
    }
    for (took, path, content_type) in refused.join_all().await {
        assert!(took >= Duration::from_millis(500), "{path} {content_type}: {took:?}");
    }
}

/// The fields of `ServerReflectionRequest` that ask for all services.
#[derive(Clone, PartialEq, prost::Message)]
struct ListServices {
    #[prost(string, tag = "7")]
    list_services: String,
}

/// The paths of reflection.
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Sends these requests on one reflection stream. Returns how many were answered, and the status of the stream.
async fn reflected(app: &TestApp, path: &'static str, requests: Vec<ListServices>) -> (usize, Status) {
    let codec = ProstCodec::<ListServices, ()>::default();
    let asked = Request::new(tokio_stream::iter(requests));
    let mut grpc = app.anonymous().ready().await.unwrap();
    let answer = grpc.streaming(asked, PathAndQuery::from_static(path), codec);
    let mut answers = match within("the head of the answers", answer).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return (0, status),
    };
    let mut answered = 0;
    loop {
        match within("an answer or an end", answers.message()).await {
            Ok(Some(())) => answered += 1,
            Ok(None) => return (answered, Status::ok("")),
            Err(status) => return (answered, status),
        }
    }
}

async fn each_request_on_an_auxiliary_stream_is_charged(database: Database) {
    let list = || ListServices { list_services: "*".to_owned() };
    for path in REFLECTION {
        let app = TestApp::with(&database, &[("ANONYMOUS_PER_SECOND", "2")]).await;
        let (answered, end) = reflected(&app, path, vec![list(); 5]).await;
        assert_eq!((answered, end.code()), (5, Code::Ok), "{end:?}");
        let (answered, end) = reflected(&app, path, vec![list(); 1_000]).await;
        assert!(answered < 100, "{answered} requests were answered");
        let delay = end.get_details_retry_info().and_then(|info| info.retry_delay);
        assert!(delay.is_some_and(|delay| delay <= Duration::from_secs(1)), "{delay:?}");
        Err::<(), _>(end).refused(Code::ResourceExhausted, "RATE_LIMITED");
    }
}

async fn requests_to_health_and_reflection_have_a_small_limit(database: Database) {
    let app = TestApp::start(&database).await;
    let large = "x".repeat(5_000);
    for path in REFLECTION {
        let (_, end) = reflected(&app, path, vec![ListServices { list_services: large.clone() }]).await;
        Err::<(), _>(end).refused(Code::ResourceExhausted, "TOO_LARGE");
    }
    let watched = app.anonymous().watch(&large).await.map(drop);
    watched.refused(Code::ResourceExhausted, "TOO_LARGE");
    let mut connection = Connection::open(app.address(), Version::H2).await;
    let checked = Dialect::Native.call(&mut connection, "/grpc.health.v1.Health/Check", &[], &large).await;
    checked.refused(Code::ResourceExhausted, "TOO_LARGE");
    let check = "nobody".to_owned();
    let checked = Dialect::Native.call(&mut connection, "/grpc.health.v1.Health/Check", &[], &check).await;
    checked.refused(Code::NotFound, "SERVICE_NOT_FOUND");
}

async fn probes_are_answered_when_their_network_is_over_its_rate(database: Database) {
    let app = TestApp::with(&database, &[("ANONYMOUS_PER_SECOND", "1")]).await;
    let mut neighbour = from([127, 0, 0, 2], &app).await;
    assert!(count_refused(&mut neighbour, 20, "GET", "/docs").await > 0);
    assert_eq!(count_refused(&mut neighbour, 5, "GET", "/livez").await, 0);
    assert_eq!(count_refused(&mut neighbour, 3, "GET", "/readyz").await, 0);
}

async fn honest_use_stays_within_the_limits(database: Database) {
    let settings: Vec<_> = DEFAULTS.into_iter().chain([("TRUSTED_PROXIES", "127.0.0.0/8")]).collect();
    let app = TestApp::with(&database, &settings).await;
    let user = app.user().await;
    let room = user.create_room().await;
    let member = user.join(&room).await;

    // A bot sends four seconds' worth of messages at once.
    let mut calls = JoinSet::new();
    for nth in 0..200 {
        let bot = member.on_new_connection();
        let body = format!("message {nth}");
        calls.spawn(
            async move { bot.call(SendMessageRequest { body, ..Default::default() }).await.map(drop) },
        );
    }
    for outcome in calls.join_all().await {
        outcome.unwrap();
    }
    // A user opens the page on six devices. Each lists 500 rooms in pages, joins one, and reads it.
    let mut devices = JoinSet::new();
    for _ in 0..6 {
        let (device, enter) = (user.on_new_connection(), room.join_request());
        devices.spawn(async move {
            for _ in 0..10 {
                device.call(ListChatRoomsRequest::default()).await?;
            }
            let token = device.call(enter).await?.token;
            let inside = device.with_token(&token);
            inside.call(ListMessagesRequest::default()).await?;
            inside.subscribe(None).await.map(drop)
        });
    }
    for outcome in devices.join_all().await {
        outcome.unwrap();
    }
    // 1,000 users open the page at once, over the 10 connections of their proxy.
    let mut proxy = JoinSet::new();
    for connection in 0..10 {
        let address = app.address();
        proxy.spawn(async move {
            let mut connection_to = Connection::open(address, Version::H2).await;
            for person in 0..100 {
                let client = format!("10.0.{connection}.{person}");
                let headers = [("x-forwarded-for", client.as_str())];
                for path in ["/", "/app.js", "/app.css", "/favicon.svg"] {
                    let answer = connection_to.send(request("GET", path, &headers, "")).await;
                    assert_eq!(answer.status, 200, "{path}");
                }
                let refresh = r#"{"refresh_token":"none"}"#;
                let answer = connection_to.send(request("POST", "/refresh", &headers, refresh)).await;
                assert_eq!(answer.status, 401);
            }
        });
    }
    proxy.join_all().await;
}

async fn five_thousand_streams_that_reconnect_at_once_are_all_accepted(database: Database) {
    const USERS: usize = 50;
    // One database at a time, since each run uses all cores of a small machine.
    static ALONE: Mutex<()> = Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let settings: Vec<_> = DEFAULTS
        .into_iter()
        .chain([("STREAMS_PER_USER", "100"), ("MAX_CONNECTIONS_PER_ADDRESS", "0")])
        .collect();
    let app = TestApp::with(&database, &settings).await;
    let room = app.user().await.create_room().await;
    let mut members = Vec::new();
    for _ in 0..USERS {
        members.push(app.user().await.join(&room).await);
    }
    let mut streams = JoinSet::new();
    for member in members {
        let connection = member.on_new_connection();
        streams.spawn(async move {
            let mut opening = JoinSet::new();
            for _ in 0..100 {
                let caller = connection.with_token(connection.token());
                opening.spawn(async move { open_with_retries(&caller).await });
            }
            opening.join_all().await
        });
    }
    streams.join_all().await;
}

/// Opens a stream. If the server refuses it after 20 s without a free database connection, tries again.
async fn open_with_retries(caller: &Caller) {
    loop {
        let started = Instant::now();
        let Err(status) = caller.subscribe(None).await else { return };
        status.refused(Code::Unavailable, "OVERLOADED");
        assert!(started.elapsed() > Duration::from_secs(15), "refused without waiting for the database");
    }
}

async fn messages_are_stored_while_many_other_writes_wait(database: Database) {
    let app = TestApp::start(&database).await;
    let member = app.user().await;
    let member = member.join(&member.create_room().await).await;
    let greedy = app.user().await;
    let mut creating = JoinSet::new();
    for _ in 0..4 {
        let connection = greedy.on_new_connection();
        for _ in 0..200 {
            let caller = connection.with_token(connection.token());
            creating.spawn(async move { caller.call(CreateChatRoomRequest::default()).await.map(drop) });
        }
    }
    // Each message is acknowledged while the other writes wait. Otherwise its call fails.
    for nth in 0..20 {
        member.say(&nth.to_string()).await;
    }
    let outcomes = creating.join_all().await;
    let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    println!("{made} of {} rooms were made", outcomes.len());
    for refused in outcomes.into_iter().filter(Result::is_err) {
        refused.refused(Code::Unavailable, "OVERLOADED");
    }
}

async fn rooms_of_one_user_are_bounded(database: Database) {
    let app = TestApp::with(&database, &[("ROOMS_PER_USER", "2")]).await;
    let (owner, other) = (app.user().await, app.user().await);
    let mut rooms = Vec::new();
    for _ in 0..2 {
        rooms.push(owner.create_room().await);
    }
    owner.call(CreateChatRoomRequest::default()).await.refused(Code::ResourceExhausted, "TOO_MANY_ROOMS");
    owner.delete(&rooms.pop().unwrap()).await;
    rooms.push(owner.create_room().await);
    // A user may be a member of twice as many rooms as they may own.
    let another = app.user().await;
    for _ in 0..2 {
        rooms.push(another.create_room().await);
    }
    for room in &rooms {
        other.join(room).await;
    }
    let last = app.user().await.create_room().await;
    let refused = other.call(last.join_request()).await;
    refused.refused(Code::ResourceExhausted, "TOO_MANY_MEMBERSHIPS");
    // A member may join again.
    let inside = other.join(&rooms[0]).await;
    inside.call(grpcchatter_proto::v1::LeaveChatRoomRequest {}).await.unwrap();
    other.join(&last).await;
}

async fn a_login_over_the_limit_ends_the_oldest_session(database: Database) {
    let app = TestApp::with(&database, &[("SESSIONS_PER_USER", "2")]).await;
    let first = app.user().await;
    let member = first.join(&first.create_room().await).await;
    let open = member.subscribe(None).await.unwrap();
    let second = first.log_in_again().await;
    let third = first.log_in_again().await;
    first.call(ListChatRoomsRequest::default()).await.refused(Code::Unauthenticated, "TOKEN_REVOKED");
    let refused = first.rest("POST", "/refresh", json!({"refresh_token": first.refresh_token})).await;
    assert_eq!(refused.status, 401);
    for session in [&second, &third] {
        session.call(ListChatRoomsRequest::default()).await.unwrap();
    }
    // A stream of that session ends too.
    within("the end of the stream", open.end()).await.refused(Code::Unauthenticated, "TOKEN_REVOKED");
}

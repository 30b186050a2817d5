//! What each caller may spend: calls, rooms, sessions, turns at the database, memory. Who goes beyond is told when to come
//! again, in their dialect, and nobody else notices. Honest use never meets the limits.

use std::time::Duration;

use bytes::Bytes;
use grpcchatter_proto::v1::{
    CreateChatRoomRequest, JoinChatRoomRequest, ListChatRoomsRequest, ListMessagesRequest, SendMessageRequest,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{
    Connection, Database, Dialect, Member, PASSWORD, Refused as _, Rpc, TestApp, User, Version, Victim,
    frame, on_each_database, request, within,
};

on_each_database! {
    who_calls_too_often_is_told_when_to_come_again_in_their_dialect,
    who_shows_no_token_pays_for_their_network,
    a_refused_call_is_paid_for_too,
    probes_are_answered_when_their_network_has_spent_its_share,
    a_bot_a_person_on_six_devices_and_a_thousand_behind_a_proxy_never_meet_the_limits,
    five_thousand_streams_that_come_back_at_once_are_all_taken,
    messages_are_stored_however_many_other_writes_wait,
    rooms_of_one_user_are_bounded,
    one_log_in_too_many_ends_the_oldest_session,
    a_page_ends_at_256_kib_and_says_that_there_is_more,
    unread_answers_of_one_account_hold_a_bounded_memory_and_give_it_back,
    a_peer_of_http_1_that_does_not_read_is_cut_off,
}

/// The limits as they are without any setting.
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

async fn who_calls_too_often_is_told_when_to_come_again_in_their_dialect(database: Database) {
    let settings = [("READS_PER_SECOND", "1"), ("WRITES_PER_SECOND", "1")];
    let app = TestApp::with(&database, &settings).await;
    let neighbour = app.user().await;
    for dialect in Dialect::ALL {
        let user = app.user().await.speaking(dialect);
        for _ in 0..4 {
            user.call(ListChatRoomsRequest::default()).await.unwrap();
        }
        let refused = user.call(ListChatRoomsRequest::default()).await;
        let delay = refused.as_ref().unwrap_err().get_details_retry_info().and_then(|info| info.retry_delay);
        assert!(delay.is_some_and(|delay| delay <= Duration::from_secs(1)), "{dialect:?}: {delay:?}");
        refused.refused(Code::ResourceExhausted, "RATE_LIMITED");
        // Writes are another bucket.
        for _ in 0..4 {
            user.call(CreateChatRoomRequest::default()).await.unwrap();
        }
        user.call(CreateChatRoomRequest::default()).await.refused(Code::ResourceExhausted, "RATE_LIMITED");
    }
    let user = app.user().await;
    for _ in 0..4 {
        assert_eq!(user.rest("GET", "/account", json!({})).await.status, 200);
    }
    let refused = user.rest("GET", "/account", json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
    assert_eq!(refused.json()["reason"], "RATE_LIMITED");
    neighbour.call(ListChatRoomsRequest::default()).await.unwrap();
}

/// Connects from an address of the loopback network.
async fn from(host: [u8; 4], app: &TestApp) -> Connection {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((host, 0).into()).unwrap();
    let socket = within("a connection", socket.connect(app.address())).await.unwrap();
    Connection::over(socket, app.address(), Version::H2).await
}

/// Sends so many of a request, and returns how many were refused as too many.
async fn refused_of(connection: &mut Connection, count: usize, method: &str, path: &str) -> usize {
    let mut refused = 0;
    for _ in 0..count {
        let answer = connection.send(request(method, path, &[], "")).await;
        refused += usize::from(answer.status == 429);
    }
    refused
}

async fn who_shows_no_token_pays_for_their_network(database: Database) {
    let app = TestApp::with(&database, &[("ANONYMOUS_PER_SECOND", "1")]).await;
    let (mut here, mut there) = (from([127, 0, 0, 2], &app).await, from([127, 0, 0, 3], &app).await);
    assert!(refused_of(&mut here, 20, "GET", "/openapi.json").await >= 5);
    assert_eq!(refused_of(&mut there, 5, "GET", "/openapi.json").await, 0);
    let user = app.user().await;
    let mut member = from([127, 0, 0, 2], &app).await;
    let token = user.bearer().unwrap();
    let headers = [("authorization", token.as_str())];
    let answer = member.send(request("GET", "/account", &headers, "")).await;
    assert_eq!(answer.status, 200, "who shows a token pays with what is theirs");
}

async fn a_refused_call_is_paid_for_too(database: Database) {
    let app = TestApp::with(&database, &[("ANONYMOUS_PER_SECOND", "1")]).await;
    for (host, method, path) in [
        (2, "GET", "/account"),
        (3, "POST", "/nowhere"),
        (4, "GET", "/grpcchatter.v1.ChatService/SendMessage"),
    ] {
        let mut connection = from([127, 0, 0, host], &app).await;
        assert!(refused_of(&mut connection, 20, method, path).await >= 5, "{method} {path}");
    }
}

async fn probes_are_answered_when_their_network_has_spent_its_share(database: Database) {
    let app = TestApp::with(&database, &[("ANONYMOUS_PER_SECOND", "1")]).await;
    let mut neighbour = from([127, 0, 0, 2], &app).await;
    assert!(refused_of(&mut neighbour, 20, "GET", "/docs").await > 0);
    assert_eq!(refused_of(&mut neighbour, 5, "GET", "/livez").await, 0);
    assert_eq!(refused_of(&mut neighbour, 3, "GET", "/readyz").await, 0);
}

async fn a_bot_a_person_on_six_devices_and_a_thousand_behind_a_proxy_never_meet_the_limits(
    database: Database,
) {
    let settings: Vec<_> = DEFAULTS.into_iter().chain([("TRUSTED_PROXIES", "127.0.0.0/8")]).collect();
    let app = TestApp::with(&database, &settings).await;
    let user = app.user().await;
    let room = user.create_room().await;
    let member = user.join(&room).await;

    // A bot that has fallen behind sends four seconds' worth at once, and reads what it missed.
    let mut calls = JoinSet::new();
    for nth in 0..200 {
        let bot = member.elsewhere();
        let body = format!("message {nth}");
        calls.spawn(
            async move { bot.call(SendMessageRequest { body, ..Default::default() }).await.map(drop) },
        );
    }
    for outcome in calls.join_all().await {
        outcome.unwrap();
    }
    // A person opens the page on six devices: each lists 500 rooms in pages, enters one, and reads it.
    let mut devices = JoinSet::new();
    for _ in 0..6 {
        let (device, enter) = (user.elsewhere(), room.join_request());
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
    // A thousand people open the page at once, through the connections that their proxy has open.
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

async fn five_thousand_streams_that_come_back_at_once_are_all_taken(database: Database) {
    const USERS: usize = 50;
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
        let connection = member.elsewhere();
        streams.spawn(async move {
            let mut opening = JoinSet::new();
            for _ in 0..100 {
                let caller = connection.with_token(connection.token());
                opening.spawn(async move { caller.subscribe(None).await.map(drop) });
            }
            opening.join_all().await
        });
    }
    let outcomes = streams.join_all().await.concat();
    assert_eq!(outcomes.len(), USERS * 100);
    for outcome in outcomes {
        outcome.unwrap();
    }
}

async fn messages_are_stored_however_many_other_writes_wait(database: Database) {
    let app = TestApp::start(&database).await;
    let member = app.user().await;
    let member = member.join(&member.create_room().await).await;
    let greedy = app.user().await;
    let mut creating = JoinSet::new();
    for _ in 0..4 {
        let connection = greedy.elsewhere();
        for _ in 0..200 {
            let caller = connection.with_token(connection.token());
            creating.spawn(async move { caller.call(CreateChatRoomRequest::default()).await.map(drop) });
        }
    }
    // Each is acknowledged while they wait, or the call fails here.
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
    // As many may be entered, and as many again.
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
    // Whoever is in may come in again.
    let inside = other.join(&rooms[0]).await;
    inside.call(grpcchatter_proto::v1::LeaveChatRoomRequest {}).await.unwrap();
    other.join(&last).await;
}

async fn one_log_in_too_many_ends_the_oldest_session(database: Database) {
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
    // What was opened with it ends as well.
    within("the end of the stream", open.end()).await.refused(Code::Unauthenticated, "TOKEN_REVOKED");
}

/// Fills a room with messages of 4,096 bytes.
async fn full_room(app: &TestApp, messages: usize) -> (User, Member) {
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut chat = member.chat().await.unwrap();
    for nth in 0..messages {
        chat.say_as(&format!("{nth}"), &"x".repeat(4_096)).await;
        assert!(chat.next().await.rejected.is_none());
    }
    (user, member)
}

async fn a_page_ends_at_256_kib_and_says_that_there_is_more(database: Database) {
    let app = TestApp::start(&database).await;
    let (_, member) = full_room(&app, 100).await;
    let all = ListMessagesRequest { page_size: 200, ..Default::default() };
    for dialect in Dialect::ALL {
        let page = member.speaking(dialect).call(all).await.unwrap();
        assert!(prost::Message::encoded_len(&page) <= 256 * 1024);
        assert_eq!((page.more, page.first_seq, page.last_seq), (true, 1, 100));
        assert!(page.messages.len() > 50 && page.messages.last().unwrap().seq == 100, "the newest first");
    }
    // From either end the pages add up to the log, without a gap.
    let (mut before, mut seen) = (0, Vec::new());
    loop {
        let page = member.call(ListMessagesRequest { before_seq: before, ..all }).await.unwrap();
        seen.splice(0..0, page.messages.iter().map(|message| message.seq));
        before = page.messages[0].seq;
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = member.call(ListMessagesRequest { after_seq: Some(after), ..all }).await.unwrap();
        seen.extend(page.messages.iter().map(|message| message.seq));
        after = *seen.last().unwrap();
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
}

/// Returns how much memory unread answers hold.
async fn held(app: &TestApp) -> u64 {
    let answer = app.send(Version::H1, "GET", "/metrics", &[], b"").await;
    let line = answer.text().lines().find_map(|line| line.strip_prefix("grpcchatter_answer_bytes "));
    line.unwrap().parse().unwrap()
}

async fn unread_answers_of_one_account_hold_a_bounded_memory_and_give_it_back(database: Database) {
    let app = TestApp::with(&database, &[("CALLS_PER_USER", "")]).await;
    let (_, member) = full_room(&app, 70).await;
    let (_, neighbour) = full_room(&app, 70).await;
    let all = ListMessagesRequest { page_size: 200, ..Default::default() };
    let mut unread = Vec::new();
    let mut refused = 0;
    for _ in 0..2 {
        let socket = TcpStream::connect(app.address()).await.unwrap();
        let mut builder = h2::client::Builder::new();
        let (mut client, connection) =
            builder.initial_window_size(0).handshake::<_, Bytes>(socket).await.unwrap();
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..200 {
            client = client.ready().await.unwrap();
            let head = http::Request::post(format!("http://x{}", ListMessagesRequest::PATH))
                .header("content-type", "application/grpc")
                .header("token", member.token())
                .body(())
                .unwrap();
            let (answer, mut body) = client.send_request(head, false).unwrap();
            body.send_data(frame(&all), true).unwrap();
            answers.push(answer);
        }
        unread.push((client, answers));
    }
    // What is over the limit is told so; a page lies unread for each call that may be under way.
    let mut heads = Vec::new();
    for (_, answers) in &mut unread {
        for answer in answers.drain(..) {
            let head = within("a head", answer).await.unwrap();
            refused += usize::from(head.headers().contains_key("grpc-status"));
            // Dropping it would reset the stream.
            heads.push(head);
        }
    }
    assert_eq!(refused, 400 - 16);
    let (most, now) = (16 * 300 * 1024, held(&app).await);
    assert!(now <= most, "{now}");
    let page = neighbour.call(all).await.unwrap();
    assert!(!page.messages.is_empty(), "somebody else is answered meanwhile");
    drop((unread, heads));
    let given_back = async { while held(&app).await > 0 {} };
    within("the memory to be given back", given_back).await;
}

async fn a_peer_of_http_1_that_does_not_read_is_cut_off(database: Database) {
    // Memory is tight as soon as one page lies unread, so that patience is short.
    let app = TestApp::with(&database, &[("ANSWER_MEMORY", "4MiB")]).await;
    let (_, member) = full_room(&app, 70).await;
    let all = ListMessagesRequest { page_size: 200, ..Default::default() };
    let body = Dialect::Web.encode(&all);
    let mut sockets = Vec::new();
    for _ in 0..12 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut socket = socket.connect(app.address()).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\ncontent-type: {}\r\ntoken: {}\r\ncontent-length: {}\r\n\r\n",
            ListMessagesRequest::PATH,
            Dialect::Web.content_type(),
            member.token(),
            body.len()
        );
        // Several on each connection: more than the buffers of the system take.
        for _ in 0..20 {
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&body).await.unwrap();
        }
        sockets.push(socket);
    }
    let given_back = async { while held(&app).await > 0 {} };
    tokio::time::timeout(Duration::from_secs(120), given_back).await.expect("the memory to be given back");
    for mut socket in sockets {
        // What the system had taken comes, and then an end.
        drop(within("an end", socket.read_to_end(&mut Vec::new())).await);
    }
    let victim = Victim::of(&app).await;
    victim.noticed_nothing().await;
    let again = JoinChatRoomRequest { short_code: member.room.short_code.clone(), ..Default::default() };
    let account = json!({"user_name": member.name, "password": PASSWORD});
    let answer = app.anonymous().rest("POST", "/login", account).await;
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    app.anonymous().with_token(&token).call(again).await.unwrap();
}

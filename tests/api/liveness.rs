//! Streams and connections over time: deadlines, first events, heartbeats, and clients that disappear.

use std::time::Duration;

use grpcchatter_proto::v1::{
    CreateChatRoomRequest, ListChatRoomsRequest, SendMessageRequest, SubscribeRequest,
    subscribe_response::Event,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use crate::harness::{
    Bystander, Connection, Database, Dialect, Refused as _, Rpc as _, TestApp, Version, on_each_database,
    within,
};

on_each_database! {
    a_deadline_ends_a_stream,
    a_deadline_ends_a_call,
    an_invalid_deadline_is_refused,
    a_stream_ends_with_a_status_in_every_dialect,
    the_headers_and_the_first_event_of_a_subscription_come_at_once,
    the_headers_of_chat_come_at_once,
    a_silent_subscription_sends_heartbeats,
    a_user_whose_connection_ends_is_no_longer_present,
    a_dropped_call_is_stored_completely_or_not_at_all,
    a_silent_connection_is_closed,
}

const LIST: &str = ListChatRoomsRequest::PATH;

async fn a_deadline_ends_a_stream(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(app.address(), dialect.version()).await;
        let metadata = [("token", member.token()), ("grpc-timeout", "300m")];
        let path = "/grpcchatter.v1.ChatService/Subscribe";
        let outcome = dialect.call(&mut connection, path, &metadata, &SubscribeRequest::default()).await;
        assert_eq!(outcome.unwrap_err().code(), Code::DeadlineExceeded, "{dialect:?}");
        // A health watch has the same deadline, though it is not a room's stream.
        let mut connection = Connection::open(app.address(), dialect.version()).await;
        let (path, service) = ("/grpc.health.v1.Health/Watch", String::new());
        let outcome = dialect.call(&mut connection, path, &[("grpc-timeout", "300m")], &service).await;
        outcome.refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
}

/// Hashing a password takes longer than a millisecond.
async fn a_deadline_ends_a_call(database: Database) {
    let app = TestApp::start(&database).await;
    let (bystander, user) = (Bystander::of(&app).await, app.user().await);
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(app.address(), dialect.version()).await;
        let metadata = [("token", user.token()), ("grpc-timeout", "1m")];
        let room = CreateChatRoomRequest { room_name: "late".to_owned(), room_password: "cAnary".to_owned() };
        let outcome = dialect.call(&mut connection, CreateChatRoomRequest::PATH, &metadata, &room).await;
        outcome.refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
    bystander.was_not_slowed_down().await;
}

/// The gRPC specification allows up to eight digits and a unit.
async fn an_invalid_deadline_is_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    for timeout in ["", "S", "1", "1x", "-1S", "123456789S", "1.5S"] {
        let mut connection = Connection::open(app.address(), Version::H2).await;
        let metadata = [("token", user.token()), ("grpc-timeout", timeout)];
        let outcome = Dialect::Native.call(&mut connection, LIST, &metadata, &()).await;
        outcome.refused(Code::InvalidArgument, "INVALID_FIELD");
    }
    let mut connection = Connection::open(app.address(), Version::H2).await;
    let metadata = [("token", user.token()), ("grpc-timeout", "99999999H")];
    Dialect::Native.call(&mut connection, LIST, &metadata, &()).await.unwrap();
}

async fn a_stream_ends_with_a_status_in_every_dialect(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    for dialect in Dialect::ALL {
        let room = user.create_room().await;
        let member = user.join(&room).await;
        let mut subscription = member.with_dialect(dialect).subscribe(None).await.unwrap();
        member.say("before the end").await;
        assert_eq!(subscription.message().await.body, "before the end");
        user.delete(&room).await;
        subscription.end().await.refused(Code::NotFound, "ROOM_NOT_FOUND");
    }
}

async fn the_headers_and_the_first_event_of_a_subscription_come_at_once(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    for dialect in Dialect::ALL {
        let mut subscription = member.with_dialect(dialect).subscribe(None).await.unwrap();
        let Event::Subscribed(subscribed) = subscription.next().await else { panic!("not subscribed first") };
        assert_eq!(subscribed.room.unwrap().short_code, member.room.short_code);
        assert!(!subscribed.reset);
        assert_eq!(subscribed.heartbeat_interval.unwrap().seconds, 15);
    }
}

async fn the_headers_of_chat_come_at_once(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    // Opening awaits the headers, and no message was sent.
    let chat = member.chat().await.unwrap();
    assert!(!chat.metadata.contains_key("grpcchatter-reset"));
}

async fn a_silent_subscription_sends_heartbeats(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let said = member.say("the last word").await;
    for dialect in [Dialect::Native, Dialect::Web] {
        let mut subscription = member.with_dialect(dialect).subscribe(None).await.unwrap();
        let heartbeat = subscription.find(|event| match event {
            Event::Heartbeat(heartbeat) => Some(heartbeat),
            _ => None,
        });
        assert_eq!(heartbeat.await.last_seq, said.seq);
    }
}

/// A user who closes their tab leaves the list after the grace period of 10 s.
async fn a_user_whose_connection_ends_is_no_longer_present(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let (member, leaving) = (owner.join(&room).await, guest.join(&room).await);
    let mut watching = member.subscribe(None).await.unwrap();
    let stream = leaving.with_dialect(Dialect::Web).subscribe(None).await.unwrap();
    drop(stream);
    let left = watching.find(|event| match event {
        Event::PresenceChange(change) if !change.left.is_empty() => Some(change.left),
        _ => None,
    });
    assert_eq!(left.await, [guest.name.clone()]);
}

/// A call whose client hangs up has its whole effect or none.
async fn a_dropped_call_is_stored_completely_or_not_at_all(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    for round in 0..20 {
        let body = format!("round {round}");
        let request = SendMessageRequest { body: body.clone(), client_message_id: body.clone() };
        let caller = member.on_new_connection();
        // The call is dropped before or after its answer, at a different moment each time.
        drop(tokio::time::timeout(Duration::from_micros(300 * round), caller.call(request)).await);
        let stored = member.say_as(&body, &body).await;
        assert_eq!((stored.seq, stored.body), (i64::try_from(round).unwrap() + 1, body));
    }
}

/// The first byte has 10 s.
async fn a_silent_connection_is_closed(database: Database) {
    let app = TestApp::start(&database).await;
    let bystander = Bystander::of(&app).await;
    for beginning in ["", "PRI * HTTP/2.0\r\n", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        socket.write_all(beginning.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // A reset ends the connection too.
        drop(within("the end of a silent connection", socket.read_to_end(&mut rest)).await);
    }
    bystander.was_not_slowed_down().await;
}

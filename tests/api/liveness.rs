//! Streams and connections as time goes by: deadlines, first events, heartbeats, and whoever goes away.

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
    Connection, Database, Dialect, Refused as _, Rpc as _, TestApp, Version, Victim, on_each_database, within,
};

on_each_database! {
    a_deadline_ends_a_stream,
    a_deadline_ends_a_call,
    a_deadline_that_is_no_deadline_is_refused,
    a_stream_ends_with_a_status_in_every_dialect,
    the_head_and_the_first_event_of_a_subscription_come_at_once,
    the_head_of_chat_comes_at_once,
    a_silent_subscription_beats,
    whoever_goes_away_is_gone,
    a_dropped_call_leaves_no_half_of_it,
    a_connection_that_says_nothing_is_closed,
}

const LIST: &str = ListChatRoomsRequest::PATH;

/// Row 14.
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
        // A watch is no room's stream, and has the same.
        let mut connection = Connection::open(app.address(), dialect.version()).await;
        let (path, service) = ("/grpc.health.v1.Health/Watch", String::new());
        let outcome = dialect.call(&mut connection, path, &[("grpc-timeout", "300m")], &service).await;
        outcome.refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
}

/// Row 14: no password is hashed within a millisecond.
async fn a_deadline_ends_a_call(database: Database) {
    let app = TestApp::start(&database).await;
    let (victim, user) = (Victim::of(&app).await, app.user().await);
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(app.address(), dialect.version()).await;
        let metadata = [("token", user.token()), ("grpc-timeout", "1m")];
        let room = CreateChatRoomRequest { room_name: "late".to_owned(), room_password: "cAnary".to_owned() };
        let outcome = dialect.call(&mut connection, CreateChatRoomRequest::PATH, &metadata, &room).await;
        outcome.refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
    victim.noticed_nothing().await;
}

/// Row 14: eight digits and a unit, as gRPC's specification says.
async fn a_deadline_that_is_no_deadline_is_refused(database: Database) {
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

/// Row 15.
async fn a_stream_ends_with_a_status_in_every_dialect(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    for dialect in Dialect::ALL {
        let room = user.create_room().await;
        let member = user.join(&room).await;
        let mut subscription = member.speaking(dialect).subscribe(None).await.unwrap();
        member.say("before the end").await;
        assert_eq!(subscription.message().await.body, "before the end");
        user.delete(&room).await;
        subscription.end().await.refused(Code::NotFound, "ROOM_NOT_FOUND");
    }
}

/// Row 16.
async fn the_head_and_the_first_event_of_a_subscription_come_at_once(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    for dialect in Dialect::ALL {
        let mut subscription = member.speaking(dialect).subscribe(None).await.unwrap();
        let Event::Subscribed(subscribed) = subscription.next().await else { panic!("not subscribed first") };
        assert_eq!(subscribed.room.unwrap().short_code, member.room.short_code);
        assert!(!subscribed.reset);
        assert_eq!(subscribed.heartbeat_interval.unwrap().seconds, 15);
    }
}

/// Row 16.
async fn the_head_of_chat_comes_at_once(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    // Opening awaits the head, and nobody says anything.
    let chat = member.chat().await.unwrap();
    assert!(!chat.metadata.contains_key("grpcchatter-reset"));
}

/// Row 17.
async fn a_silent_subscription_beats(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let said = member.say("the last word").await;
    for dialect in [Dialect::Native, Dialect::Web] {
        let mut subscription = member.speaking(dialect).subscribe(None).await.unwrap();
        let heartbeat = subscription.find(|event| match event {
            Event::Heartbeat(heartbeat) => Some(heartbeat),
            _ => None,
        });
        assert_eq!(heartbeat.await.last_seq, said.seq);
    }
}

/// Row 18: whoever closes a tab is left out of the list, once the grace of ten seconds is over.
async fn whoever_goes_away_is_gone(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let (member, leaving) = (owner.join(&room).await, guest.join(&room).await);
    let mut watching = member.subscribe(None).await.unwrap();
    let stream = leaving.speaking(Dialect::Web).subscribe(None).await.unwrap();
    drop(stream);
    let left = watching.find(|event| match event {
        Event::PresenceChange(change) if !change.left.is_empty() => Some(change.left),
        _ => None,
    });
    assert_eq!(left.await, [guest.name.clone()]);
}

/// Row 25: who hangs up in the middle of a call has sent it or has not, and nothing between.
async fn a_dropped_call_leaves_no_half_of_it(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    for round in 0..20 {
        let body = format!("round {round}");
        let request = SendMessageRequest { body: body.clone(), client_message_id: body.clone() };
        let caller = member.elsewhere();
        // Whether the answer comes first is open: that is the point.
        drop(tokio::time::timeout(Duration::from_micros(300 * round), caller.call(request)).await);
        let stored = member.say_as(&body, &body).await;
        assert_eq!((stored.seq, stored.body), (i64::try_from(round).unwrap() + 1, body));
    }
}

/// The listener gives a first byte ten seconds.
async fn a_connection_that_says_nothing_is_closed(database: Database) {
    let app = TestApp::start(&database).await;
    let victim = Victim::of(&app).await;
    for beginning in ["", "PRI * HTTP/2.0\r\n", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        socket.write_all(beginning.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // A reset is an end as well.
        drop(within("the end of a silent connection", socket.read_to_end(&mut rest)).await);
    }
    victim.noticed_nothing().await;
}

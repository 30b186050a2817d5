//! Without its database a server refuses calls at once, keeps its streams, and recovers when the database is back.

use std::time::Duration;

use grpcchatter_proto::v1::{ListMessagesRequest, SendMessageRequest, subscribe_response::Event};
use grpcchatter_testbed::{Link, Proxy};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{Database, Member, Process, Refused as _, TestApp, on_postgres, promised};

on_postgres! {
    a_server_without_its_database_refuses_at_once_and_recovers,
    a_server_with_a_silent_database_refuses_at_once_and_recovers,
    a_server_with_a_silent_database_stops_in_time,
}

/// Within this time a call that needs the database is refused.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(3);

/// Within this time a server stops, without its database too.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Within this time everything works after the database is back.
const RECOVERY_DEADLINE: Duration = Duration::from_secs(5);

async fn a_server_without_its_database_refuses_at_once_and_recovers(database: Database) {
    break_and_restore(database, Link::Closed).await;
}

async fn a_server_with_a_silent_database_refuses_at_once_and_recovers(database: Database) {
    break_and_restore(database, Link::Stalled).await;
}

async fn break_and_restore(database: Database, link: Link) {
    let proxy = Proxy::start(database.address()).await.unwrap();
    let app = TestApp::start(&database.at(proxy.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut stream = member.subscribe(None).await.unwrap();
    member.say("before").await;
    assert_eq!(stream.message().await.seq, 1);

    proxy.set(link);
    let send = SendMessageRequest { body: "during".to_owned(), client_message_id: "during".to_owned() };
    let list = ListMessagesRequest::default();
    let sent = promised("a refusal", REFUSAL_DEADLINE, member.call(send)).await;
    let listed = promised("a refusal", REFUSAL_DEADLINE, member.call(list)).await;
    for status in [sent.map(drop), listed.map(drop)] {
        let status = status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
        assert!(status.get_details_retry_info().is_some(), "{status:?}");
    }
    // Messages sent while another one waits for the database do not wait twice as long.
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let mut waiting = JoinSet::new();
    for nth in 0..20 {
        pace.tick().await;
        let (member, client_message_id) = (member.clone(), format!("waits-{nth}"));
        let send = SendMessageRequest { body: "during".to_owned(), client_message_id };
        waiting
            .spawn(async move { promised("a refusal", REFUSAL_DEADLINE, member.call(send)).await.map(drop) });
    }
    for status in waiting.join_all().await {
        status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    }
    let anonymous = app.anonymous();
    let ready = anonymous.rest("GET", "/readyz", serde_json::Value::Null);
    assert_eq!(promised("an answer", REFUSAL_DEADLINE, ready).await.status, 503);
    stream.find(|event| matches!(event, Event::Heartbeat(_)).then_some(())).await;

    proxy.set(Link::Open);
    promised("the return", RECOVERY_DEADLINE, send_until_stored(&member)).await;
    let during = stream.message().await;
    assert_eq!((during.seq, during.body.as_str()), (2, "during"));
    let ready = app.anonymous().rest("GET", "/readyz", serde_json::Value::Null).await;
    assert_eq!(ready.status, 200);
}

/// More messages are queued than could be tried in time, and database connections wait for answers that never come.
async fn a_server_with_a_silent_database_stops_in_time(database: Database) {
    let proxy = Proxy::start(database.address()).await.unwrap();
    let folder = TempDir::new().unwrap();
    let settings = [("STREAMS_PER_USER", "0")];
    let mut server = Process::start(&database.at(proxy.address()), &folder, &settings).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut chats = Vec::new();
    for _ in 0..8 {
        chats.push(member.chat().await.unwrap());
    }
    proxy.set(Link::Stalled);
    for chat in &chats {
        for _ in 0..1_000 {
            chat.say("what waits").await;
        }
    }
    server.says("the database does not answer").await;
    server.terminate();
    let (status, log) = promised("the end", STOP_DEADLINE, server.wait()).await;
    assert!(status.success(), "{status}: {log}");
}

/// Sends one message again until it is stored.
async fn send_until_stored(member: &Member) {
    let send = || SendMessageRequest { body: "during".to_owned(), client_message_id: "during".to_owned() };
    while let Err(status) = member.call(send()).await {
        status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    }
}

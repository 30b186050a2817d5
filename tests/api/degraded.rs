//! Without its database a server says so at once, keeps its streams, and goes on when the database is back.

use std::time::Duration;

use grpcchatter_proto::v1::{ListMessagesRequest, SendMessageRequest, subscribe_response::Event};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{Cable, Database, Line, Member, Process, Refused as _, TestApp, on_postgres, promised};

on_postgres! {
    a_database_that_is_gone,
    a_database_that_is_silent,
    a_server_whose_database_is_silent_ends_in_time,
}

/// How soon a call that needs the database is refused.
const REFUSAL: Duration = Duration::from_secs(3);

/// How soon a server that was asked to end has ended, without its database too.
const END: Duration = Duration::from_secs(10);

/// How soon everything works once the database is back.
const RETURN: Duration = Duration::from_secs(5);

async fn a_database_that_is_gone(database: Database) {
    the_database_goes_and_comes_back(database, Line::Closed).await;
}

async fn a_database_that_is_silent(database: Database) {
    the_database_goes_and_comes_back(database, Line::Silent).await;
}

async fn the_database_goes_and_comes_back(database: Database, line: Line) {
    let cable = Cable::start(database.address()).await;
    let app = TestApp::start(&database.at(cable.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut stream = member.subscribe(None).await.unwrap();
    member.say("before").await;
    assert_eq!(stream.message().await.seq, 1);

    cable.set(line);
    let send = SendMessageRequest { body: "during".to_owned(), client_message_id: "during".to_owned() };
    let list = ListMessagesRequest::default();
    let sent = promised("a refusal", REFUSAL, member.call(send)).await;
    let listed = promised("a refusal", REFUSAL, member.call(list)).await;
    for status in [sent.map(drop), listed.map(drop)] {
        let status = status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
        assert!(status.get_details_retry_info().is_some(), "{status:?}");
    }
    // What is said while another message waits for the database does not wait twice as long.
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let mut waiting = JoinSet::new();
    for nth in 0..20 {
        pace.tick().await;
        let (member, client_message_id) = (member.clone(), format!("waits-{nth}"));
        let send = SendMessageRequest { body: "during".to_owned(), client_message_id };
        waiting.spawn(async move { promised("a refusal", REFUSAL, member.call(send)).await.map(drop) });
    }
    for status in waiting.join_all().await {
        status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    }
    let anonymous = app.anonymous();
    let ready = anonymous.rest("GET", "/readyz", serde_json::Value::Null);
    assert_eq!(promised("an answer", REFUSAL, ready).await.status, 503);
    stream.find(|event| matches!(event, Event::Heartbeat(_)).then_some(())).await;

    cable.set(Line::Open);
    promised("the return", RETURN, sent_again(&member)).await;
    let during = stream.message().await;
    assert_eq!((during.seq, during.body.as_str()), (2, "during"));
    let ready = app.anonymous().rest("GET", "/readyz", serde_json::Value::Null).await;
    assert_eq!(ready.status, 200);
}

/// Much more waits to be stored than could be tried in time, and connections wait for answers that never come.
async fn a_server_whose_database_is_silent_ends_in_time(database: Database) {
    let cable = Cable::start(database.address()).await;
    let folder = TempDir::new().unwrap();
    let settings = [("STREAMS_PER_USER", "0")];
    let mut server = Process::start(&database.at(cable.address()), &folder, &settings).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut chats = Vec::new();
    for _ in 0..8 {
        chats.push(member.chat().await.unwrap());
    }
    cable.set(Line::Silent);
    for chat in &chats {
        for _ in 0..1_000 {
            chat.say("what waits").await;
        }
    }
    server.says("the database does not answer").await;
    server.terminate();
    let (status, log) = promised("the end", END, server.wait()).await;
    assert!(status.success(), "{status}: {log}");
}

/// Sends the same message until it is stored.
async fn sent_again(member: &Member) {
    let send = || SendMessageRequest { body: "during".to_owned(), client_message_id: "during".to_owned() };
    while let Err(status) = member.call(send()).await {
        status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    }
}

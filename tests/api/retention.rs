//! RETENTION: old messages are removed from the beginning of a log, and a client that resumes before the rest gets a reset.

use grpcchatter_proto::v1::{
    DeleteChatRoomRequest, ListMessagesRequest, ListMessagesResponse, ResumePoint, UpdateChatRoomRequest,
    subscribe_request::Start, subscribe_response::Event,
};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Database, Dialect, Member, PASSWORD, Process, TestApp, on_each_database, within};

on_each_database! {
    old_messages_are_removed_and_seqs_continue,
    a_resume_point_before_the_oldest_message_is_a_reset,
    an_open_stream_continues_across_a_removal,
    the_first_chat_starts_with_the_remaining_messages,
    without_retention_nothing_is_removed,
    deleted_texts_are_in_no_sqlite_file,
}

/// Every message is old at once.
const OLD: (&str, &str) = ("RETENTION", "1ms");

async fn member(app: &TestApp) -> Member {
    let user = app.user().await;
    user.join(&user.create_room().await).await
}

async fn list(member: &Member) -> ListMessagesResponse {
    member.call(ListMessagesRequest { after_seq: Some(0), ..Default::default() }).await.unwrap()
}

/// Awaits that the log is empty.
async fn removed(member: &Member) {
    let empty = async { while !list(member).await.messages.is_empty() {} };
    within("the removal of old messages", empty).await;
}

async fn old_messages_are_removed_and_seqs_continue(database: Database) {
    let app = TestApp::with(&database, &[OLD]).await;
    let member = member(&app).await;
    for body in ["one", "two", "three"] {
        member.say(body).await;
    }
    removed(&member).await;
    let page = list(&member).await;
    assert_eq!((page.first_seq, page.last_seq, page.more), (0, 3, false));
    assert_eq!(member.say("four").await.seq, 4);
}

async fn a_resume_point_before_the_oldest_message_is_a_reset(database: Database) {
    let app = TestApp::with(&database, &[OLD]).await;
    let member = member(&app).await;
    let (first, last) = (member.say("one").await, member.say("two").await);
    removed(&member).await;
    let nothing = ResumePoint::default();
    let points =
        [first, last].map(|message| ResumePoint { seq: message.seq, message_id: message.message_id });
    let [first, last] = points;
    for dialect in Dialect::ALL {
        // A client that has the last message misses nothing, though that message is removed.
        for (point, reset) in [(nothing.clone(), true), (first.clone(), true), (last.clone(), false)] {
            let start = Some(Start::After(point.clone()));
            let mut stream = member.with_dialect(dialect).subscribe(start).await.unwrap();
            let Event::Subscribed(subscribed) = stream.next().await else { panic!("not subscribed first") };
            assert_eq!(subscribed.reset, reset, "{point:?} {dialect:?}");
        }
    }
}

async fn an_open_stream_continues_across_a_removal(database: Database) {
    let app = TestApp::with(&database, &[OLD]).await;
    let member = member(&app).await;
    let mut stream = member.subscribe(None).await.unwrap();
    for (body, seq) in ["one", "two", "three"].into_iter().zip(1..) {
        member.say(body).await;
        assert_eq!(stream.message().await.seq, seq);
        removed(&member).await;
    }
}

async fn the_first_chat_starts_with_the_remaining_messages(database: Database) {
    let app = TestApp::with(&database, &[OLD]).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let (owner, guest) = (owner.join(&room).await, guest.join(&room).await);
    owner.say("one").await;
    removed(&owner).await;
    let mut chat = guest.chat().await.unwrap();
    owner.say("two").await;
    assert_eq!(chat.next().await.seq, 2);
}

async fn without_retention_nothing_is_removed(database: Database) {
    let app = TestApp::with(&database, &[("RETENTION", "0")]).await;
    let member = member(&app).await;
    let first = member.say("one").await;
    let folder = app.stop().await;
    let app = TestApp::on(&database, folder, &[]).await;
    let member = member.at(app.address());
    member.say("two").await;
    assert_eq!(list(&member).await.messages.first(), Some(&first));
}

/// Returns the texts that SQLite's files contain.
fn found_in_files<'a>(folder: &TempDir, texts: &[&'a str]) -> Vec<&'a str> {
    let files = ["grpcchatter.db", "grpcchatter.db-wal"].map(|name| folder.path().join(name));
    let files = files.map(|file| std::fs::read(file).unwrap_or_default());
    let holds = |text: &str| {
        files
            .iter()
            .any(|file| file.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes())))
    };
    texts.iter().copied().filter(|text| holds(text)).collect()
}

async fn deleted_texts_are_in_no_sqlite_file(database: Database) {
    if database.url().is_some() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let (leaver, owner) = (server.user().await, server.user().await);
    let room = owner.create_room().await;
    let (short_code, room_name) = (room.short_code.clone(), Some("a secret garden".to_owned()));
    owner.call(UpdateChatRoomRequest { short_code, room_name, ..Default::default() }).await.unwrap();
    let member = leaver.join(&room).await;
    // The second body is so long that it has its own database pages.
    let bodies = ["under the third stone", &"behind the old wall ".repeat(200)];
    for body in bodies {
        member.say(body).await;
    }
    let (stays, stayed) = (owner.join(&owner.create_room().await).await, "this stays where it is");
    stays.say(stayed).await;
    let gone = [&*leaver.name, "a secret garden", "under the third stone", "behind the old wall"];
    assert_eq!(found_in_files(&folder, &gone), gone, "the texts are in the files at first");
    owner.call(DeleteChatRoomRequest { short_code: room.short_code.clone() }).await.unwrap();
    assert_eq!(leaver.rest("DELETE", "/account", json!({"password": PASSWORD})).await.status, 204);
    server.kill().await;

    let server = Process::start(&database, &folder, &[]).await;
    let swept = async {
        while !found_in_files(&folder, &gone).is_empty() {
            assert_eq!(server.anonymous().rest("GET", "/readyz", json!(null)).await.status, 200);
        }
    };
    within("the removal of the deleted texts", swept).await;
    assert_eq!(found_in_files(&folder, &[stayed]), [stayed]);
    server.kill().await;
}

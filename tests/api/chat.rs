//! Chat: sending and receiving on one stream, for clients that send message ids and for old ones that do not.

use grpcchatter_proto::v1::{ChatResponse, ListMessagesRequest, ResumePoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Bystander, Chat, Database, Member, Refused as _, TestApp, on_each_database};

on_each_database! {
    a_message_with_an_id_is_echoed_once_it_is_stored,
    a_message_without_an_id_is_not_echoed_to_its_stream,
    a_message_without_an_id_reaches_the_authors_other_stream,
    a_repeated_id_answers_with_the_first_seq_and_is_stored_once,
    an_id_reused_for_another_body_is_rejected_and_the_stream_stays_open,
    a_message_over_the_limit_with_an_id_is_rejected,
    a_message_over_the_limit_without_an_id_ends_the_stream,
    all_streams_see_the_same_order_without_gaps_or_repeats,
    the_first_chat_after_a_join_starts_with_the_messages_since,
    a_later_chat_starts_with_new_messages,
    a_chat_resumes_after_a_message,
    a_chat_that_cannot_resume_gets_reset,
    half_closing_stores_everything_sent_and_ends_with_ok,
    more_than_64_unanswered_are_refused,
    an_old_client_may_have_1024_messages_in_flight,
    empty_messages_are_accepted,
    two_streams_of_one_user_both_get_every_message,
    streams_per_user_are_bounded,
}

/// Two members of one room.
async fn two_members(app: &TestApp) -> (Member, Member) {
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    (owner.join(&room).await, guest.join(&room).await)
}

fn point(message: &ChatResponse) -> ResumePoint {
    ResumePoint { seq: message.seq, message_id: message.message_id.clone() }
}

async fn bodies(chat: &mut Chat, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        bodies.push(chat.next().await.body);
    }
    bodies
}

async fn log(member: &Member) -> Vec<grpcchatter_proto::v1::Message> {
    let request = ListMessagesRequest { page_size: 200, after_seq: Some(0), ..Default::default() };
    member.call(request).await.unwrap().messages
}

async fn a_message_with_an_id_is_echoed_once_it_is_stored(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let (mut from, mut to) = (alice.chat().await.unwrap(), bob.chat().await.unwrap());
    from.say_as("mine-1", "hello").await;
    let (echo, heard) = (from.next().await, to.next().await);
    assert_eq!(echo, heard);
    assert_eq!(
        (&*echo.user_name, &*echo.body, echo.seq, &*echo.client_message_id),
        (&*alice.name, "hello", 1, "mine-1")
    );
    assert!(echo.rejected.is_none());
    let stored = log(&bob).await.remove(0);
    assert_eq!(
        (stored.seq, stored.message_id, stored.create_time),
        (echo.seq, echo.message_id, echo.create_time)
    );
}

async fn a_message_without_an_id_is_not_echoed_to_its_stream(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let (mut from, mut to) = (alice.chat().await.unwrap(), bob.chat().await.unwrap());
    from.say("one").await;
    assert_eq!(to.next().await.body, "one");
    to.say("two").await;
    from.say("three").await;
    assert_eq!(bodies(&mut to, 1).await, ["three"]);
    to.say("four").await;
    assert_eq!(bodies(&mut from, 2).await, ["two", "four"]);
}

async fn a_message_without_an_id_reaches_the_authors_other_stream(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, _) = two_members(&app).await;
    let (one, mut other) = (alice.chat().await.unwrap(), alice.on_new_connection().chat().await.unwrap());
    one.say("from one device to the other").await;
    assert_eq!(other.next().await.body, "from one device to the other");
}

async fn a_repeated_id_answers_with_the_first_seq_and_is_stored_once(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let mut chat = alice.chat().await.unwrap();
    chat.say_as("same", "hello").await;
    let first = chat.next().await;
    chat.say_as("same", "hello").await;
    let again = chat.next().await;
    assert_eq!((again.seq, &again.message_id), (first.seq, &first.message_id));
    // The same id from another author is another message.
    assert_eq!(bob.say_as("same", "hello").await.seq, 2);
    // The same id from the same author is the same message, over another call too.
    assert_eq!(alice.say_as("same", "hello").await.seq, 1);
    assert_eq!(log(&alice).await.len(), 2);
}

async fn an_id_reused_for_another_body_is_rejected_and_the_stream_stays_open(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, _) = two_members(&app).await;
    let mut chat = alice.chat().await.unwrap();
    chat.say_as("same", "hello").await;
    chat.next().await;
    chat.say_as("same", "good bye").await;
    assert_rejected(&chat.next().await, "same", Code::AlreadyExists, "CLIENT_MESSAGE_ID_REUSED");
    chat.say_as("next", "still here").await;
    assert_eq!(chat.next().await.seq, 2);
}

#[track_caller]
fn assert_rejected(response: &ChatResponse, id: &str, code: Code, reason: &str) {
    let rejected = response.rejected.as_ref().unwrap_or_else(|| panic!("not rejected: {response:?}"));
    let seen = (rejected.code, rejected.reason.as_str(), response.client_message_id.as_str(), response.seq);
    assert_eq!(seen, (code as i32, reason, id, 0));
    assert!(!rejected.message.is_empty());
}

async fn a_message_over_the_limit_with_an_id_is_rejected(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, _) = two_members(&app).await;
    let mut chat = alice.chat().await.unwrap();
    chat.say_as("long", &"x".repeat(4097)).await;
    assert_rejected(&chat.next().await, "long", Code::InvalidArgument, "MESSAGE_TOO_LONG");
    chat.say_as("nul", "a\0b").await;
    assert_rejected(&chat.next().await, "nul", Code::InvalidArgument, "INVALID_MESSAGE");
    let id = "i".repeat(65);
    chat.say_as(&id, "an id of 65 bytes").await;
    // The rejection repeats the beginning of the id, up to the maximum length.
    assert_rejected(&chat.next().await, &id[..64], Code::InvalidArgument, "INVALID_CLIENT_MESSAGE_ID");
    chat.say_as("longest", &"x".repeat(4096)).await;
    assert_eq!(chat.next().await.seq, 1);
}

async fn a_message_over_the_limit_without_an_id_ends_the_stream(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let chat = alice.chat().await.unwrap();
    let mut to = bob.chat().await.unwrap();
    chat.say("before").await;
    chat.say(&"x".repeat(4097)).await;
    chat.say("after").await;
    chat.end().await.refused(Code::InvalidArgument, "MESSAGE_TOO_LONG");
    assert_eq!(to.next().await.body, "before");
    assert_eq!(log(&bob).await.len(), 1);
}

async fn all_streams_see_the_same_order_without_gaps_or_repeats(database: Database) {
    const EACH: usize = 100;
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let room = owner.create_room().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(app.user().await.join(&room).await.chat().await.unwrap());
    }
    let mut tasks = Vec::new();
    for (author, mut chat) in streams.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let (mut said, mut own, mut seen) = (0, 0, Vec::new());
            while seen.len() < 4 * EACH {
                // At most 64 may be unacknowledged.
                while said < EACH && said - own < 32 {
                    let id = format!("{author}-{said}");
                    chat.say_as(&id, &id).await;
                    said += 1;
                }
                let response = chat.next().await;
                assert!(response.rejected.is_none(), "{response:?}");
                own += usize::from(response.body.starts_with(&format!("{author}-")));
                seen.push((response.seq, response.body));
            }
            seen
        }));
    }
    let mut logs = Vec::new();
    for task in tasks {
        logs.push(task.await.unwrap());
    }
    let seqs: Vec<_> = logs[0].iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=4 * i64::try_from(EACH).unwrap()).collect::<Vec<_>>());
    assert!(logs.iter().all(|log| *log == logs[0]), "streams disagree");
    for author in 0..4 {
        let said: Vec<_> = logs[0]
            .iter()
            .map(|(_, body)| body)
            .filter(|body| body.starts_with(&format!("{author}-")))
            .collect();
        assert!(
            said.iter().enumerate().all(|(number, body)| **body == format!("{author}-{number}")),
            "{said:?}"
        );
    }
}

async fn the_first_chat_after_a_join_starts_with_the_messages_since(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let alice = owner.join(&room).await;
    alice.say("before bob").await;
    let bob = guest.join(&room).await;
    for number in 0..300 {
        alice.say(&format!("between {number}")).await;
    }
    let mut chat = bob.chat().await.unwrap();
    alice.say("live").await;
    let heard = bodies(&mut chat, 301).await;
    assert_eq!(
        (heard[0].as_str(), heard[299].as_str(), heard[300].as_str()),
        ("between 0", "between 299", "live")
    );
}

async fn a_later_chat_starts_with_new_messages(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let first = bob.chat().await.unwrap();
    alice.say("one").await;
    drop(first);
    let mut later = bob.chat().await.unwrap();
    alice.say("two").await;
    assert_eq!(bodies(&mut later, 1).await, ["two"]);
}

async fn a_chat_resumes_after_a_message(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let mut chat = bob.chat().await.unwrap();
    alice.say("one").await;
    let last = chat.next().await;
    drop(chat);
    alice.say("two").await;
    alice.say("three").await;
    let mut chat = bob.chat_after(point(&last)).await.unwrap();
    assert!(!chat.metadata.contains_key("grpcchatter-reset"));
    alice.say("four").await;
    assert_eq!(bodies(&mut chat, 3).await, ["two", "three", "four"]);
}

async fn a_chat_that_cannot_resume_gets_reset(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let stored = alice.say("one").await;
    let wrong = [
        ResumePoint { seq: 99, message_id: stored.message_id.clone() },
        ResumePoint { seq: stored.seq, message_id: "0199aaaa-0000-7000-8000-000000000000".to_owned() },
        ResumePoint { seq: i64::MAX, message_id: stored.message_id.clone() },
    ];
    for point in wrong {
        let mut chat = bob.chat_after(point.clone()).await.unwrap();
        let reset = chat.metadata.get("grpcchatter-reset").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(reset.as_deref(), Some("true"), "{point:?}");
        alice.say("from now on").await;
        assert_eq!(bodies(&mut chat, 1).await, ["from now on"]);
    }
}

async fn half_closing_stores_everything_sent_and_ends_with_ok(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let mut chat = alice.chat().await.unwrap();
    for number in 0..50 {
        chat.say_as(&format!("id-{number}"), "said").await;
    }
    chat.half_close();
    let mut echoes = 0;
    while let Some(response) = chat.response().await.unwrap() {
        assert!(response.rejected.is_none(), "{response:?}");
        echoes += 1;
    }
    assert_eq!((echoes, log(&bob).await.len()), (50, 50));
}

/// The author sends without waiting for answers. The stream stays open, and every acknowledged message is stored.
async fn more_than_64_unanswered_are_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let mut chat = alice.chat().await.unwrap();
    for number in 0..1000 {
        chat.say_as(&format!("id-{number}"), "said").await;
    }
    let (mut stored, mut refused) = (0, 0);
    for _ in 0..1000 {
        match chat.next().await.rejected {
            None => stored += 1,
            Some(rejected) => {
                assert_eq!(
                    (rejected.code, &*rejected.reason),
                    (Code::ResourceExhausted as i32, "TOO_MANY_UNANSWERED")
                );
                refused += 1;
            }
        }
    }
    assert!(stored >= 64, "{stored} stored, {refused} refused");
    let request = ListMessagesRequest { page_size: 1, ..Default::default() };
    assert_eq!(bob.call(request).await.unwrap().last_seq, stored);
}

async fn an_old_client_may_have_1024_messages_in_flight(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let (chat, mut to) = (alice.chat().await.unwrap(), bob.chat().await.unwrap());
    for number in 0..1024 {
        chat.say(&number.to_string()).await;
    }
    let heard = bodies(&mut to, 1024).await;
    assert!(heard.iter().enumerate().all(|(number, body)| *body == number.to_string()));
    drop(chat);
}

async fn empty_messages_are_accepted(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let (chat, mut to) = (alice.chat().await.unwrap(), bob.chat().await.unwrap());
    chat.say("").await;
    let heard = to.next().await;
    assert_eq!((heard.body.as_str(), heard.seq), ("", 1));
}

async fn two_streams_of_one_user_both_get_every_message(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = two_members(&app).await;
    let (mut one, mut other) = (bob.chat().await.unwrap(), bob.chat().await.unwrap());
    for number in 0..20 {
        alice.say(&number.to_string()).await;
    }
    assert_eq!(bodies(&mut one, 20).await, bodies(&mut other, 20).await);
}

async fn streams_per_user_are_bounded(database: Database) {
    let app = TestApp::with(&database, &[("STREAMS_PER_USER", "3")]).await;
    let bystander = Bystander::of(&app).await;
    let (alice, bob) = two_members(&app).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(alice.chat().await.unwrap());
    }
    let refused: Result<Chat, Status> = alice.chat().await;
    let status = match refused {
        // The headers are sent at once, so the refusal may come as the status at the stream's end.
        Ok(chat) => chat.end().await,
        Err(status) => status,
    };
    assert_eq!(status.get_details_error_info().unwrap().reason, "TOO_MANY_STREAMS");
    assert_eq!(status.code(), Code::ResourceExhausted);
    bob.chat().await.unwrap();
    drop(open.pop());
    // When the server has seen the end of a stream, another may be opened.
    while alice.chat().await.is_err() {}
    bystander.was_not_slowed_down().await;
}

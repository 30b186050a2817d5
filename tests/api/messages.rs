//! Messages: they are stored once, before they are acknowledged, and listed page by page, in every dialect.

use grpcchatter_proto::v1::{
    ListMessagesRequest, ListMessagesResponse, ResumePoint, SendMessageRequest, subscribe_request::Start,
    subscribe_response::Event,
};
use tonic::Code;

use crate::harness::{Database, Dialect, Member, Refused as _, TestApp, on_each_database};

on_each_database! {
    the_answer_to_a_send_is_the_stored_message,
    a_repeated_id_gets_the_same_answer,
    an_id_sent_in_parallel_is_stored_once,
    an_id_reused_for_another_body_is_refused,
    messages_have_limits,
    a_message_with_an_id_needs_a_body,
    the_maximum_message_length_is_a_setting,
    pages_in_both_directions_contain_every_message_once,
    without_a_bound_the_newest_messages_are_listed,
    an_empty_log_has_an_empty_page,
    page_sizes_are_limited,
    two_bounds_at_once_are_refused,
    messages_of_a_deleted_account_stay_without_its_name,
    streams_do_not_show_the_name_of_a_deleted_account,
    invalid_utf8_is_refused_with_a_status,
}

async fn member(app: &TestApp) -> Member {
    let user = app.user().await;
    user.join(&user.create_room().await).await
}

fn send(client_message_id: &str, body: &str) -> SendMessageRequest {
    SendMessageRequest { body: body.to_owned(), client_message_id: client_message_id.to_owned() }
}

fn newest(page_size: i32) -> ListMessagesRequest {
    ListMessagesRequest { page_size, ..Default::default() }
}

fn before(before_seq: i64, page_size: i32) -> ListMessagesRequest {
    ListMessagesRequest { page_size, before_seq, after_seq: None }
}

fn after(after_seq: i64, page_size: i32) -> ListMessagesRequest {
    ListMessagesRequest { page_size, after_seq: Some(after_seq), before_seq: 0 }
}

fn seqs(page: &ListMessagesResponse) -> Vec<i64> {
    page.messages.iter().map(|message| message.seq).collect()
}

async fn the_answer_to_a_send_is_the_stored_message(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    for (number, dialect) in Dialect::ALL.into_iter().enumerate() {
        let seq = i64::try_from(number).unwrap() + 1;
        let body = format!("said in {dialect:?}: Grüße, \u{1F44B}");
        let answer = member.with_dialect(dialect).call(send(&format!("id {seq}"), &body)).await.unwrap();
        let message = answer.message.unwrap();
        assert!(!answer.duplicate);
        assert_eq!((&message.user_name, &message.body, message.seq), (&member.name, &body, seq));
        assert_eq!(message.client_message_id, format!("id {seq}"));
        let id = uuid::Uuid::parse_str(&message.message_id).unwrap();
        assert_eq!(id.get_version_num(), 7);
        let page = member.with_dialect(dialect).call(newest(1)).await.unwrap();
        assert_eq!(page.messages, [message]);
    }
}

async fn a_repeated_id_gets_the_same_answer(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    let first = member.call(send("same", "hello")).await.unwrap();
    member.say("between").await;
    for dialect in Dialect::ALL {
        let again = member.with_dialect(dialect).call(send("same", "hello")).await.unwrap();
        assert_eq!((again.message, again.duplicate), (first.message.clone(), true));
    }
    assert_eq!(member.call(newest(10)).await.unwrap().last_seq, 2);
}

async fn an_id_sent_in_parallel_is_stored_once(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        let member = member.on_new_connection();
        calls.push(tokio::spawn(async move { member.call(send("same", "hello")).await.unwrap() }));
    }
    let mut stored = 0;
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer.message.unwrap().seq, 1);
        stored += usize::from(!answer.duplicate);
    }
    assert_eq!(stored, 1, "all answers but one say that the message was stored before");
    assert_eq!(member.call(newest(10)).await.unwrap().last_seq, 1);
}

async fn an_id_reused_for_another_body_is_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    member.call(send("same", "hello")).await.unwrap();
    for dialect in Dialect::ALL {
        let outcome = member.with_dialect(dialect).call(send("same", "good bye")).await;
        outcome.refused(Code::AlreadyExists, "CLIENT_MESSAGE_ID_REUSED");
    }
}

async fn messages_have_limits(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    for dialect in Dialect::ALL {
        let member = member.with_dialect(dialect);
        let invalid = Code::InvalidArgument;
        member.call(send("", &"x".repeat(4097))).await.refused(invalid, "MESSAGE_TOO_LONG");
        member.call(send("", &"é".repeat(2049))).await.refused(invalid, "MESSAGE_TOO_LONG");
        member.call(send("", "nul\0")).await.refused(invalid, "INVALID_MESSAGE");
        member.call(send(&"i".repeat(65), "")).await.refused(invalid, "INVALID_CLIENT_MESSAGE_ID");
        member.call(send("nul\0", "")).await.refused(invalid, "INVALID_CLIENT_MESSAGE_ID");
        member.call(send("", &"é".repeat(40_000))).await.refused(Code::ResourceExhausted, "TOO_LARGE");
    }
    member.call(send("", "")).await.unwrap();
    let longest = member.call(send(&"i".repeat(64), &"x".repeat(4096))).await.unwrap();
    assert_eq!(longest.message.unwrap().seq, 2, "refused messages took no seq");
}

/// Old clients send no id, and may send empty messages, as with the original. A body of blanks is not empty.
async fn a_message_with_an_id_needs_a_body(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    for dialect in Dialect::ALL {
        let member = member.with_dialect(dialect);
        member.call(send("an id", "")).await.refused(Code::InvalidArgument, "INVALID_MESSAGE");
        member.call(send("", "")).await.unwrap();
        member.call(send(&format!("{dialect:?}"), " ")).await.unwrap();
    }
    // In another room, since a first Chat starts with earlier messages.
    let member = self::member(&app).await;
    let mut chat = member.on_new_connection().chat().await.unwrap();
    for id in ["an id", ""] {
        chat.say_as(id, "").await;
    }
    chat.say_as("after", "after").await;
    let refused = chat.next().await;
    let rejected = refused.rejected.expect("the empty one with an id");
    assert_eq!((rejected.reason.as_str(), refused.client_message_id.as_str()), ("INVALID_MESSAGE", "an id"));
    let after = chat.next().await;
    assert_eq!((after.client_message_id.as_str(), after.rejected), ("after", None));
    let stored: Vec<String> =
        member.call(newest(2)).await.unwrap().messages.into_iter().map(|m| m.body).collect();
    assert_eq!(stored, ["", "after"], "the one without an id is stored");
}

async fn the_maximum_message_length_is_a_setting(database: Database) {
    let app = TestApp::with(&database, &[("MAX_MESSAGE_SIZE", "10")]).await;
    let member = member(&app).await;
    member.call(send("", "0123456789")).await.unwrap();
    let status =
        member.call(send("", "0123456789x")).await.refused(Code::InvalidArgument, "MESSAGE_TOO_LONG");
    assert!(status.message().contains("10 bytes"), "{status:?}");
}

async fn pages_in_both_directions_contain_every_message_once(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    for number in 1..=25 {
        member.say(&number.to_string()).await;
    }
    let all: Vec<i64> = (1..=25).collect();
    for page_size in [1, 7, 24, 25, 26] {
        let (mut backwards, mut bound) = (Vec::new(), 0);
        loop {
            let page = member.call(before(bound, page_size)).await.unwrap();
            bound = page.messages[0].seq;
            backwards.splice(0..0, seqs(&page));
            assert_eq!((page.first_seq, page.last_seq), (1, 25));
            if !page.more {
                break;
            }
        }
        let (mut forwards, mut bound) = (Vec::new(), 0);
        loop {
            let page = member.call(after(bound, page_size)).await.unwrap();
            bound = page.messages.last().unwrap().seq;
            forwards.extend(seqs(&page));
            if !page.more {
                break;
            }
        }
        assert_eq!((&backwards, &forwards), (&all, &all), "pages of {page_size}");
    }
    let beyond = member.call(after(25, 10)).await.unwrap();
    assert_eq!((seqs(&beyond), beyond.more), (vec![], false));
}

async fn without_a_bound_the_newest_messages_are_listed(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    for number in 1..=60 {
        member.say(&number.to_string()).await;
    }
    let page = member.call(newest(0)).await.unwrap();
    assert_eq!(seqs(&page), (11..=60).collect::<Vec<_>>(), "50, by rising seq");
    assert!(page.more);
}

async fn an_empty_log_has_an_empty_page(database: Database) {
    let app = TestApp::start(&database).await;
    let page = member(&app).await.call(newest(0)).await.unwrap();
    assert_eq!(page, ListMessagesResponse::default());
}

async fn page_sizes_are_limited(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    for number in 1..=201 {
        member.say(&number.to_string()).await;
    }
    for page_size in [200, 201, i32::MAX] {
        assert_eq!(member.call(newest(page_size)).await.unwrap().messages.len(), 200);
    }
    for page_size in [-1, i32::MIN] {
        member.call(newest(page_size)).await.refused(Code::InvalidArgument, "INVALID_FIELD");
    }
}

async fn two_bounds_at_once_are_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    let both = ListMessagesRequest { before_seq: 5, after_seq: Some(1), page_size: 0 };
    member.call(both).await.refused(Code::InvalidArgument, "INVALID_FIELD");
    for negative in [before(-1, 0), after(-1, 0)] {
        member.call(negative).await.refused(Code::InvalidArgument, "INVALID_FIELD");
    }
}

async fn messages_of_a_deleted_account_stay_without_its_name(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let (staying, leaving) = (owner.join(&room).await, guest.join(&room).await);
    leaving.say("remember me").await;
    let body = serde_json::json!({"password": crate::harness::PASSWORD});
    assert_eq!(guest.rest("DELETE", "/account", body).await.status, 204);
    let page = staying.call(newest(0)).await.unwrap();
    assert_eq!((&*page.messages[0].user_name, &*page.messages[0].body), ("", "remember me"));
}

async fn invalid_utf8_is_refused_with_a_status(database: Database) {
    let app = TestApp::start(&database).await;
    let member = member(&app).await;
    for dialect in Dialect::ALL {
        let mut connection = crate::harness::Connection::open(app.address(), dialect.version()).await;
        let broken = NotUtf8 { body: vec![0xff, 0xfe] };
        let metadata = [("token", member.token())];
        let path = "/grpcchatter.v1.ChatService/SendMessage";
        let status = dialect.call(&mut connection, path, &metadata, &broken).await.unwrap_err();
        assert!([Code::InvalidArgument, Code::Internal].contains(&status.code()), "{status:?}");
    }
    assert_eq!(member.say("still here").await.seq, 1);
}

/// A `SendMessageRequest` whose body need not be UTF-8.
#[derive(Clone, PartialEq, prost::Message)]
struct NotUtf8 {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
}

/// Returns the authors of the stored messages that a subscription delivers.
async fn authors(member: &Member, start: Start) -> Vec<String> {
    let mut stream = member.on_new_connection().subscribe(Some(start)).await.unwrap();
    let mut authors = Vec::new();
    loop {
        match stream.next().await {
            Event::Message(message) => authors.push(message.user_name),
            Event::CaughtUp(_) => return authors,
            _ => {}
        }
    }
}

async fn streams_do_not_show_the_name_of_a_deleted_account(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let (member, visitor) = (owner.join(&room).await, guest.join(&room).await);
    visitor.say("before anybody listens: it is read as a page of the log").await;
    let mut listening = member.subscribe(None).await.unwrap();
    visitor.say("while somebody listens: it is kept in memory").await;
    assert_eq!(listening.message().await.user_name, guest.name);
    let all = || Start::After(ResumePoint::default());
    let [one, two] = [(); 2].map(|()| guest.name.clone());
    assert_eq!(authors(&member, all()).await, [one.clone(), two]);
    assert_eq!(authors(&member, Start::Last(1)).await, [one]);

    let body = serde_json::json!({"password": crate::harness::PASSWORD});
    assert_eq!(guest.rest("DELETE", "/account", body).await.status, 204);
    assert_eq!(authors(&member, all()).await, ["", ""]);
    assert_eq!(authors(&member, Start::Last(1)).await, [""]);
    // A stream that was open continues.
    assert_eq!((member.say("and on").await.seq, listening.message().await.seq), (3, 3));
}

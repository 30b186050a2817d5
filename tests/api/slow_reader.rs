//! A slow reader harms nobody else, and loses nothing: a stream whose reader opens no window is left behind, and
//! goes on from where it was.

use grpcchatter_proto::v1::{ResumePoint, subscribe_request::Start, subscribe_response::Event};
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{Database, Member, Refused as _, Subscription, TestApp, on_each_database};

on_each_database! {
    a_stream_that_opens_no_window_resumes_without_a_gap,
}

/// How many messages are said.
const MESSAGES: i64 = 50_000;

/// How many say them, and how many of each one's may be unanswered.
const AUTHORS: i64 = 10;
const UNANSWERED: i64 = 60;

/// Says an author's part of the messages.
async fn speak(member: Member, author: i64) {
    let mut chat = member.elsewhere().chat().await.unwrap();
    let (mut said, mut answered) = (0, 0);
    while answered < MESSAGES / AUTHORS {
        while said < MESSAGES / AUTHORS && said - answered < UNANSWERED {
            chat.say_as(&format!("{author}-{said}"), "a message of some length, as people write them").await;
            said += 1;
        }
        let response = chat.next().await;
        assert!(response.rejected.is_none(), "{response:?}");
        answered += i64::from(response.client_message_id.starts_with(&format!("{author}-")));
    }
}

/// Hears messages from the one after `last` on, each at its place, up to the last of all or the stream's end.
/// Returns the last that was heard.
async fn hear(mut stream: Subscription, mut last: ResumePoint) -> ResumePoint {
    while last.seq < MESSAGES {
        match stream.event().await {
            Ok(Some(Event::Message(message))) => {
                assert_eq!(message.seq, last.seq + 1, "a gap or a repeat");
                last = ResumePoint { seq: message.seq, message_id: message.message_id };
            }
            Ok(Some(Event::Subscribed(subscribed))) => assert!(!subscribed.reset),
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended well after {}", last.seq),
            Err(status) => {
                status.refused(Code::Unavailable, "STREAM_BEHIND");
                break;
            }
        }
    }
    last
}

async fn a_stream_that_opens_no_window_resumes_without_a_gap(database: Database) {
    let app = TestApp::with(&database, &[("STREAMS_PER_USER", "0")]).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let start = || Some(Start::After(ResumePoint::default()));
    let slow = Subscription::narrow(&member, start()).await.unwrap();
    let mut hearing = JoinSet::new();
    for _ in 0..9 {
        let stream = member.elsewhere().subscribe(start()).await.unwrap();
        hearing.spawn(hear(stream, ResumePoint::default()));
    }
    let mut speaking = JoinSet::new();
    for author in 0..AUTHORS {
        speaking.spawn(speak(member.clone(), author));
    }
    speaking.join_all().await;
    for last in hearing.join_all().await {
        assert_eq!(last.seq, MESSAGES, "whoever reads hears everything");
    }
    // Now the slow one reads, and resumes where it was told to.
    let mut last = hear(slow, ResumePoint::default()).await;
    let behind = last.seq;
    while last.seq < MESSAGES {
        let stream = member.subscribe(Some(Start::After(last.clone()))).await.unwrap();
        last = hear(stream, last).await;
    }
    println!("a slow reader: {behind} messages before it was cut off, all {MESSAGES} in the end");
}

//! A log that went back, as after a failover that lost commits: streams are told, and nobody hears what is no more.

use grpcchatter_proto::v1::{Message, ResumePoint, subscribe_request::Start};
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use tonic::Code;

use crate::harness::{Database, Member, Refused as _, Subscription, TestApp, on_each_database};

on_each_database! {
    what_was_lost_is_not_told_to_who_resumes_before_it,
}

async fn resume(member: &Member, last: &Message) -> Subscription {
    let point = ResumePoint { seq: last.seq, message_id: last.message_id.clone() };
    member.subscribe(Some(Start::After(point))).await.unwrap()
}

async fn bodies(stream: &mut Subscription, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        bodies.push(stream.message().await.body);
    }
    bodies
}

async fn what_was_lost_is_not_told_to_who_resumes_before_it(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let first = member.say("one").await;
    for body in ["two", "three", "four", "five"] {
        member.say(body).await;
    }
    let mut stream = resume(&member, &first).await;
    assert_eq!(bodies(&mut stream, 4).await, ["two", "three", "four", "five"]);

    let operator = app.operator(&database).await;
    let transaction = operator.begin().await.unwrap();
    for statement in [
        "DELETE FROM messages WHERE seq > 3",
        "UPDATE rooms SET last_seq = 3, last_message_id = (SELECT message_id FROM messages WHERE seq = 3)",
    ] {
        transaction.execute_unprepared(statement).await.unwrap();
    }
    transaction.commit().await.unwrap();
    stream.end().await.refused(Code::Aborted, "LOG_RESET");

    // The log grows again to where it was.
    for (body, seq) in [("another four", 4), ("another five", 5)] {
        assert_eq!(member.say(body).await.seq, seq);
    }
    let mut stream = resume(&member, &first).await;
    assert_eq!(bodies(&mut stream, 4).await, ["two", "three", "another four", "another five"]);
}

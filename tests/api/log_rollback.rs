//! A log that has lost its newest messages, as after a failover: streams are reset, and lost messages are not delivered.

use grpcchatter_proto::v1::{Message, ResumePoint, subscribe_request::Start, subscribe_response::Event};
use sea_orm::{ConnectionTrait as _, Statement, TransactionTrait as _};
use tonic::Code;

use crate::harness::{Database, Member, Refused as _, Subscription, TestApp, on_each_database};

on_each_database! {
    a_client_that_resumes_before_the_lost_messages_does_not_get_them,
    a_client_that_got_lost_messages_is_reset_after_the_log_has_grown_again,
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

async fn a_client_that_resumes_before_the_lost_messages_does_not_get_them(database: Database) {
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

    // The log grows again to its former length.
    for (body, seq) in [("another four", 4), ("another five", 5)] {
        assert_eq!(member.say(body).await.seq, seq);
    }
    let mut stream = resume(&member, &first).await;
    assert_eq!(bodies(&mut stream, 4).await, ["two", "three", "another four", "another five"]);
}

/// The log is longer than before when the server looks at it, so the loss does not show in its length.
async fn a_client_that_got_lost_messages_is_reset_after_the_log_has_grown_again(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let first = member.say("one").await;
    let lost = member.say("lost").await;
    let mut stream = resume(&member, &first).await;
    assert_eq!(bodies(&mut stream, 1).await, ["lost"]);
    let chat = member.chat().await.unwrap();

    let operator = app.operator(&database).await;
    let transaction = operator.begin().await.unwrap();
    let another = uuid::Uuid::from_u128(7);
    for sql in [
        "UPDATE messages SET message_id = $1, body = 'in its place' WHERE seq = 2",
        "UPDATE rooms SET last_message_id = $1",
    ] {
        let statement =
            Statement::from_sql_and_values(operator.get_database_backend(), sql, [another.into()]);
        transaction.execute_raw(statement).await.unwrap();
    }
    transaction.commit().await.unwrap();
    assert_eq!(member.say("three").await.seq, 3);
    stream.end().await.refused(Code::Aborted, "LOG_RESET");
    chat.end().await.refused(Code::Aborted, "LOG_RESET");

    // A client that got lost messages is reset. A client that got only remaining ones resumes after them.
    let mut stream = resume(&member, &lost).await;
    let reset =
        stream.find(|event| if let Event::Subscribed(begun) = event { Some(begun.reset) } else { None });
    assert!(reset.await);
    let mut stream = resume(&member, &first).await;
    assert_eq!(bodies(&mut stream, 2).await, ["in its place", "three"]);
}

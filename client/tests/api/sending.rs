//! Sending: until it is acknowledged, once, in order.

use std::time::Duration;

use futures_util::future::join_all;
use grpcchatter_client::{Client, Error, reason};
use tonic::{Code, Status};

use crate::{
    fake::{Fake, status},
    in_a_room,
};

#[tokio::test]
async fn a_lost_answer_does_not_double_a_message() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().lost_answers = 2;
    assert_eq!(room.send("hello").await.unwrap().seq, 1);
    assert_eq!(fake.state().log.len(), 1);
}

#[tokio::test]
async fn messages_are_stored_in_the_order_sent_though_some_are_refused_first() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().refusals.extend([Status::unavailable("busy"), Status::unavailable("busy")]);
    let bodies: Vec<_> = (1..=20).map(|number| format!("number {number}")).collect();
    for sent in join_all(bodies.iter().map(|body| room.send(body))).await {
        sent.unwrap();
    }
    let stored: Vec<_> = fake.state().log.iter().map(|message| message.body.clone()).collect();
    assert_eq!(stored, bodies);
}

#[tokio::test]
async fn what_is_not_acknowledged_in_time_is_told_with_its_id() {
    let fake = Fake::start().await;
    let client = Client::builder(&fake.url).send_timeout(Duration::from_millis(1)).build().unwrap();
    client.login("walker1", "Secret-1!").await.unwrap();
    let room = client.join_chat_room("aB3xYz", "").await.unwrap();
    fake.state().refusals.extend((0..99).map(|_| Status::unavailable("busy")));
    let error = room.send_with_id("mine", "hello").await.unwrap_err();
    assert!(error.is_retryable());
    assert!(matches!(error, Error::Unacknowledged { client_message_id, .. } if client_message_id == "mine"));
}

#[tokio::test]
async fn a_refused_message_is_not_tried_again() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().refusals.push_back(status(Code::InvalidArgument, "MESSAGE_TOO_LONG"));
    let error = room.send("hello").await.unwrap_err();
    assert_eq!(error.reason(), Some(reason::MESSAGE_TOO_LONG));
    assert!(fake.state().log.is_empty());
}

//! Whoever keeps as many messages unanswered as there may be is never told that they are too many, and an old client never
//! hears itself, whoever publishes its messages: the writer, or the poll that finds them a moment before.

use tokio::task::JoinSet;

use crate::harness::{Chat, Database, TestApp, on_each_database};

on_each_database! {
    whoever_keeps_64_unanswered_is_never_told_that_they_are_too_many,
    an_old_client_hears_nothing_of_its_own,
}

/// So many messages may be unanswered on one stream.
const MOST: usize = 64;

/// Sends so many messages, with as many unanswered as there may be at all times.
async fn press(mut chat: Chat, author: String, messages: usize) {
    let (mut sent, mut answered) = (0, 0);
    while answered < messages {
        while sent < messages && sent - answered < MOST {
            chat.say_as(&format!("{author}-{sent}"), "said").await;
            sent += 1;
        }
        let response = chat.next().await;
        assert!(response.rejected.is_none(), "after {answered} answers: {response:?}");
        answered += usize::from(response.client_message_id == format!("{author}-{answered}"));
    }
}

async fn whoever_keeps_64_unanswered_is_never_told_that_they_are_too_many(database: Database) {
    let app = TestApp::start(&database).await;
    let mut pressing = JoinSet::new();
    for _ in 0..4 {
        // Two authors in each room, each on a connection of their own.
        let owner = app.user().await;
        let room = owner.create_room().await;
        for member in [owner.join(&room).await, app.user().await.join(&room).await] {
            let chat = member.elsewhere().chat().await.unwrap();
            pressing.spawn(press(chat, member.name.clone(), 1_500));
        }
    }
    while let Some(done) = pressing.join_next().await {
        done.unwrap();
    }
}

async fn an_old_client_hears_nothing_of_its_own(database: Database) {
    const AT_ONCE: usize = 500;
    let app = TestApp::start(&database).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let mut old = owner.join(&room).await.chat().await.unwrap();
    let mut other = guest.join(&room).await.chat().await.unwrap();
    for round in 0..10 {
        for _ in 0..AT_ONCE {
            old.say("said").await;
        }
        for _ in 0..AT_ONCE {
            assert_eq!(other.next().await.body, "said");
        }
        other.say("heard").await;
        assert_eq!(old.next().await.body, "heard", "in round {round}");
    }
}

//! A client that keeps as many messages unanswered as allowed is never refused, and an old client never gets its own messages,
//! whether the writer publishes them or the poll, which may find them a moment earlier.

use tokio::task::JoinSet;

use crate::harness::{Chat, Database, TestApp, on_each_database};

on_each_database! {
    a_client_with_64_unanswered_messages_is_never_refused,
    an_old_client_never_gets_its_own_messages,
}

/// How many messages may be unanswered on one stream.
const MAX_UNANSWERED: usize = 64;

/// Sends `messages`, with as many of them unanswered as allowed at all times.
async fn keep_unanswered(mut chat: Chat, author: String, messages: usize) {
    let (mut sent, mut answered) = (0, 0);
    while answered < messages {
        while sent < messages && sent - answered < MAX_UNANSWERED {
            chat.say_as(&format!("{author}-{sent}"), "said").await;
            sent += 1;
        }
        let response = chat.next().await;
        assert!(response.rejected.is_none(), "after {answered} answers: {response:?}");
        answered += usize::from(response.client_message_id == format!("{author}-{answered}"));
    }
}

async fn a_client_with_64_unanswered_messages_is_never_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let mut sending = JoinSet::new();
    for _ in 0..4 {
        // Two authors in each room, each with their own connection.
        let owner = app.user().await;
        let room = owner.create_room().await;
        for member in [owner.join(&room).await, app.user().await.join(&room).await] {
            let chat = member.on_new_connection().chat().await.unwrap();
            sending.spawn(keep_unanswered(chat, member.name.clone(), 1_500));
        }
    }
    while let Some(done) = sending.join_next().await {
        done.unwrap();
    }
}

async fn an_old_client_never_gets_its_own_messages(database: Database) {
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

//! What the poll finds, over a temporary database; and what a stream is told that is behind, where another database may
//! have taken over.

use std::{future::poll_fn, task::Poll, time::Duration};

use bytes::Buf as _;

use super::{
    tests::{Fixture, frames},
    *,
};
use crate::store::temporary::{TemporaryDatabase, on_each_database};

on_each_database! {
    who_is_behind_does_not_go_over_to_another_log,
    who_comes_back_with_a_message_of_another_log_is_not_told_what_was_said_in_the_first,
    what_was_told_is_looked_up_once_in_the_log_of_another_server,
}

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs what tells the streams, until something has happened.
async fn running<T>(fixture: &Fixture, what: impl Future<Output = T>) -> T {
    tokio::select! {
        done = what => done,
        () = fixture.hub.run_shard(0) => unreachable!("it never ends"),
        () = fixture.publisher.run_poll() => unreachable!("it never ends"),
        () = tokio::time::sleep(PATIENCE) => panic!("not in time"),
    }
}

/// Returns the seqs that a stream is told next.
async fn hear(stream: &mut Subscription) -> Result<Vec<i64>> {
    let mut frames = poll_fn(|context| stream.poll_frames(context)).await.expect("it goes on")?;
    let mut seqs = Vec::new();
    while frames.has_remaining() {
        frames.advance(5);
        seqs.push(frames.get_i64());
    }
    Ok(seqs)
}

/// Says something in the way of a process of which this one hears nothing.
async fn say_elsewhere(fixture: &Fixture, member: &Arc<ChatIdentity>, count: usize) {
    let mut lanes = fixture.store.lanes().await.lanes;
    let draft = || Draft {
        identity: Arc::clone(member),
        body: MessageBody::parse("elsewhere".to_owned(), 100, None).unwrap(),
        client_message_id: None,
        message_id: fixture.hub.message_id(),
    };
    let drafts: Vec<_> = (0..count).map(|_| draft()).collect();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let appended = lanes[0].append(&drafts, deadline).await;
    assert!(appended.receipts.iter().all(|receipt| matches!(receipt, Some(Ok(_)))), "{appended:?}");
}

#[tokio::test]
async fn a_room_that_cannot_be_looked_at_keeps_no_other_from_hearing() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let fixture = Fixture::open(database).await;
    let mut streams = Vec::new();
    // More than are looked at at once.
    for nth in 0..10 {
        let room = fixture.store.room(&format!("room0{nth}")).await;
        let member = fixture.store.member(&format!("talker{nth}"), &room).await;
        streams.push((fixture.chat_of(&member).await.0, member));
    }
    for (_, member) in &streams {
        say_elsewhere(&fixture, member, 1).await;
    }
    // Every room must be looked at more closely, and none can be.
    fixture.store.execute("UPDATE rooms SET members_epoch = members_epoch + 1").await;
    let beside = fixture.store.beside().await;
    let held = beside.hold_members().await;
    let everybody = async {
        for (stream, _) in &mut streams {
            assert_eq!(hear(stream).await.unwrap(), [1]);
        }
    };
    running(&fixture, everybody).await;
    held.rollback().await.unwrap();
    // They are looked at once they can be.
    fixture.store.execute("DELETE FROM members").await;
    fixture.store.execute("UPDATE rooms SET members_epoch = members_epoch + 1").await;
    let ended = async {
        for (stream, _) in &mut streams {
            assert!(matches!(hear(stream).await, Err(Error::NotAMember(_))));
        }
    };
    running(&fixture, ended).await;
}

#[tokio::test]
async fn what_may_be_on_no_standby_is_not_listed_until_it_is_there() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let fixture = Fixture::open(database).await;
    say(&fixture, "is it there?").await;
    fixture.store.meet_another_server();
    let held = fixture.store.hold_settling().await;
    let list = || fixture.chat.list_messages(&fixture.member, Direction::After(0), 10);
    assert!(matches!(list().await, Err(Error::DatabaseUnavailable)));
    held.rollback().await.unwrap();
    assert_eq!(list().await.unwrap().messages.len(), 1);
}

/// Has a failover lose all messages but the first, and others be said in their place.
async fn fail_over(fixture: &Fixture, count: usize) {
    fixture.store.execute("DELETE FROM messages WHERE seq > 1").await;
    let first = "(SELECT message_id FROM messages WHERE seq = 1)";
    fixture.store.execute(&format!("UPDATE rooms SET last_seq = 1, last_message_id = {first}")).await;
    say_elsewhere(fixture, &fixture.member, count).await;
    fixture.store.meet_another_server();
}

async fn say(fixture: &Fixture, body: &str) -> Receipt {
    fixture.chat.send(Arc::clone(&fixture.member), body.to_owned(), "").await.unwrap()
}

async fn resume(fixture: &Fixture, seq: i64, message_id: Option<Uuid>) -> (Subscription, bool) {
    let seat = Seat { shard: 0, connection: Arc::default(), address: [127, 0, 0, 1].into() };
    let telling = Telling { resume: Some(ResumePoint { seq, message_id }), ..Telling::default() };
    let member = Arc::clone(&fixture.member);
    let (stream, _, reset) = fixture.chat.chat(member, telling, seat).await.unwrap();
    (stream, reset)
}

async fn who_is_behind_does_not_go_over_to_another_log(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    // It keeps the room in memory, which has told three messages.
    let _listens = fixture.chat().await;
    let mut last = None;
    for body in ["one", "two", "three"] {
        last = Some(say(&fixture, body).await.message);
    }
    let last = last.unwrap();
    // What is behind what memory keeps reads the log.
    fixture.chat.forget_names();
    let (mut behind, reset) = resume(&fixture, 0, None).await;
    assert!(!reset);
    fail_over(&fixture, 4).await;
    let told = poll_fn(|context| behind.poll_frames(context)).await.unwrap();
    assert!(matches!(told, Err(Error::LogReset)), "{told:?}");
    drop(behind);
    let (_, reset) = resume(&fixture, last.seq, Some(last.message_id)).await;
    assert!(reset, "what it had is no more");
}

async fn who_comes_back_with_a_message_of_another_log_is_not_told_what_was_said_in_the_first(
    database: TemporaryDatabase,
) {
    let fixture = Fixture::open(database).await;
    let (mut listens, _speaker) = fixture.chat().await;
    for body in ["one", "two", "three"] {
        say(&fixture, body).await;
    }
    fail_over(&fixture, 4).await;
    let second = fixture.store.message_id_at(fixture.member.room, 2).await.unwrap();
    let (mut stream, reset) = resume(&fixture, 2, second).await;
    assert!(!reset, "it is in the log");
    assert!(matches!(frames(&mut listens), Poll::Ready(Some(Err(Error::LogReset)))));
    let told = poll_fn(|context| stream.poll_frames(context)).await.unwrap().unwrap();
    let messages = fixture.store.messages(fixture.member.room, 3, 5).await.unwrap();
    assert!(messages.iter().all(|message| &*message.body == "elsewhere") && told.len() == 3 * (5 + 8));
}

async fn what_was_told_is_looked_up_once_in_the_log_of_another_server(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let _listens = fixture.chat().await;
    for body in ["one", "two", "three"] {
        say(&fixture, body).await;
    }
    fixture.chat.forget_names();
    let (mut behind, _) = resume(&fixture, 0, None).await;
    let (mut too, _) = resume(&fixture, 0, None).await;
    fixture.store.meet_another_server();
    assert!(poll_fn(|context| behind.poll_frames(context)).await.unwrap().is_ok());
    // Whoever looked again would find that it is lost.
    fixture.store.execute("DELETE FROM messages WHERE seq = 3").await;
    assert!(poll_fn(|context| too.poll_frames(context)).await.unwrap().is_ok());
    fixture.store.meet_another_server();
    let (room, store) = (fixture.hub.get(fixture.member.room).unwrap(), &fixture.store);
    assert!(!super::super::seam::holds(store, &room).await.unwrap(), "it is looked up on the next");
}

//! The publisher's poll, and streams that are behind when another database server takes over.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Buf as _;
use uuid::Uuid;

use super::*;
use crate::{
    model::{ChatIdentity, Error, MessageBody, Result, ResumePoint, Seq},
    store::{
        Direction, Draft, Receipt,
        temporary::{TemporaryDatabase, on_each_database},
    },
};

on_each_database! {
    a_stream_that_is_behind_does_not_change_over_to_another_log,
    a_client_that_resumes_in_another_log_receives_no_messages_of_the_first,
    a_stream_that_waits_behind_lost_messages_is_reset,
    a_log_that_lacks_what_a_client_may_have_does_not_hold,
    what_was_published_is_looked_up_once_in_the_log_of_another_server,
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the shard and the poll until `what` is done.
async fn running<T>(fixture: &Fixture, what: impl Future<Output = T>) -> T {
    let running = async {
        tokio::select! {
            done = what => done,
            () = fixture.hub.run_shard(0) => unreachable!("it never ends"),
            () = fixture.publisher.run_poll() => unreachable!("it never ends"),
        }
    };
    tokio::time::timeout(TIMEOUT, running).await.expect("it is done in time")
}

/// Returns the seqs of the next messages of a stream.
async fn receive(stream: &mut Subscription) -> Result<Vec<i64>> {
    let mut frames = poll_fn(|context| stream.poll_frames(context)).await.expect("it goes on")?;
    let mut seqs = Vec::new();
    while frames.has_remaining() {
        frames.advance(5);
        seqs.push(frames.get_i64());
    }
    Ok(seqs)
}

/// Sends messages as another process would, which notifies nobody here.
async fn send_elsewhere(fixture: &Fixture, member: &Arc<ChatIdentity>, count: usize) {
    let mut lanes = fixture.store.lanes().await.lanes;
    let draft = || Draft {
        identity: Arc::clone(member),
        body: MessageBody::parse("elsewhere".to_owned(), 100, None).unwrap(),
        client_message_id: None,
        message_id: fixture.hub.message_id(),
    };
    let drafts: Vec<_> = (0..count).map(|_| draft()).collect();
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    let appended = lanes[0].append(&drafts, deadline).await;
    assert!(appended.receipts.iter().all(|receipt| matches!(receipt, Some(Ok(_)))), "{appended:?}");
}

#[tokio::test]
async fn a_room_that_cannot_be_checked_delays_no_other() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let fixture = Fixture::open(database).await;
    let mut streams = Vec::new();
    // More than are checked at once.
    for nth in 0..10 {
        let room = fixture.store.room(&format!("room0{nth}")).await;
        let member = fixture.store.member(&format!("talker{nth}"), &room).await;
        streams.push((fixture.chat_of(&member).await.0, member));
    }
    for (_, member) in &streams {
        send_elsewhere(&fixture, member, 1).await;
    }
    // Every room needs a check, and none can have one.
    fixture.store.execute("UPDATE rooms SET members_epoch = members_epoch + 1").await;
    let beside = fixture.store.open_beside().await;
    let held = beside.lock_members().await;
    let everybody = async {
        for (stream, _) in &mut streams {
            assert_eq!(receive(stream).await.unwrap(), [1]);
        }
    };
    running(&fixture, everybody).await;
    held.rollback().await.unwrap();
    // They are checked once they can be.
    fixture.store.execute("DELETE FROM members").await;
    fixture.store.execute("UPDATE rooms SET members_epoch = members_epoch + 1").await;
    let ended = async {
        for (stream, _) in &mut streams {
            assert!(matches!(receive(stream).await, Err(Error::NotAMember(_))));
        }
    };
    running(&fixture, ended).await;
}

#[tokio::test]
async fn a_message_that_may_be_on_no_standby_is_not_listed_until_it_is() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let fixture = Fixture::open(database).await;
    send(&fixture, "is it there?").await;
    fixture.store.meet_another_server();
    let held = fixture.store.block_standby_wait().await;
    let list = || fixture.chat.list_messages(&fixture.member, Direction::After(Seq::ZERO), 10);
    assert!(matches!(list().await, Err(Error::DatabaseUnavailable)));
    held.rollback().await.unwrap();
    assert_eq!(list().await.unwrap().messages.len(), 1);
}

/// Loses all messages but the first.
async fn lose(fixture: &Fixture) {
    fixture.store.execute("DELETE FROM messages WHERE seq > 1").await;
    let first = "(SELECT message_id FROM messages WHERE seq = 1)";
    fixture.store.execute(&format!("UPDATE rooms SET last_seq = 1, last_message_id = {first}")).await;
}

/// Simulates a failover that loses all messages but the first, and then sends others.
async fn fail_over(fixture: &Fixture, count: usize) {
    lose(fixture).await;
    send_elsewhere(fixture, &fixture.member, count).await;
    fixture.store.meet_another_server();
}

async fn send(fixture: &Fixture, body: &str) -> Receipt {
    fixture.chat.send(Arc::clone(&fixture.member), body.to_owned(), "").await.unwrap()
}

async fn resume(fixture: &Fixture, seq: Seq, message_id: Option<Uuid>) -> (Subscription, bool) {
    let origin = StreamOrigin { shard: 0, connection: Arc::default(), address: [127, 0, 0, 1].into() };
    let options = ChatOptions { resume: Some(ResumePoint { seq, message_id }), ..ChatOptions::default() };
    let member = Arc::clone(&fixture.member);
    let (stream, _, reset) = fixture.chat.chat(member, options, origin).await.unwrap();
    (stream, reset)
}

async fn a_stream_that_is_behind_does_not_change_over_to_another_log(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    // It keeps the room in memory, which has published three messages.
    let _listens = fixture.chat().await;
    let mut last = None;
    for body in ["one", "two", "three"] {
        last = Some(send(&fixture, body).await.message);
    }
    let last = last.unwrap();
    // A stream that is behind the messages in memory reads the log.
    fixture.chat.name_cache().invalidate();
    let (mut behind, reset) = resume(&fixture, Seq::ZERO, None).await;
    assert!(!reset);
    fail_over(&fixture, 4).await;
    let end = poll_fn(|context| behind.poll_frames(context)).await.unwrap();
    assert!(matches!(end, Err(Error::LogReset)), "{end:?}");
    drop(behind);
    let (_, reset) = resume(&fixture, last.seq, Some(last.message_id)).await;
    assert!(reset, "its message is gone");
}

async fn a_client_that_resumes_in_another_log_receives_no_messages_of_the_first(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let (mut listens, _sender) = fixture.chat().await;
    for body in ["one", "two", "three"] {
        send(&fixture, body).await;
    }
    fail_over(&fixture, 4).await;
    let second = fixture.store.message_id_at(fixture.member.room, Seq(2)).await.unwrap();
    let (mut stream, reset) = resume(&fixture, Seq(2), second).await;
    assert!(!reset, "it is in the log");
    assert!(matches!(frames(&mut listens), Poll::Ready(Some(Err(Error::LogReset)))));
    let received = poll_fn(|context| stream.poll_frames(context)).await.unwrap().unwrap();
    let messages = fixture.store.messages(fixture.member.room, Seq(3), Seq(5)).await.unwrap();
    assert!(messages.iter().all(|message| &*message.body == "elsewhere") && received.len() == 3 * (5 + 8));
}

/// Its client has a message that this process has not published. Without the reset it would miss the messages before that seq
/// until another message is stored there.
async fn a_stream_that_waits_behind_lost_messages_is_reset(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let (_listens, _sender) = fixture.chat().await;
    send(&fixture, "one").await;
    send_elsewhere(&fixture, &fixture.member, 2).await;
    let third = fixture.store.message_id_at(fixture.member.room, Seq(3)).await.unwrap();
    let (mut ahead, reset) = resume(&fixture, Seq(3), third).await;
    assert!(!reset && frames(&mut ahead).is_pending());
    lose(&fixture).await;
    let received = running(&fixture, receive(&mut ahead)).await;
    assert!(matches!(received, Err(Error::LogReset)), "{received:?}");
}

async fn a_log_that_lacks_what_a_client_may_have_does_not_hold(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let (_listens, _sender) = fixture.chat().await;
    send(&fixture, "one").await;
    send(&fixture, "two").await;
    send_elsewhere(&fixture, &fixture.member, 2).await;
    let fourth = fixture.store.message_id_at(fixture.member.room, Seq(4)).await.unwrap();
    let (_ahead, _) = resume(&fixture, Seq(4), fourth).await;
    let room = fixture.hub.get(fixture.member.room).unwrap();
    // The message after which a client has resumed, and the newest one that was published.
    for (lost, other) in [(4, 2), (2, 4)] {
        fixture.store.meet_another_server();
        assert!(crate::domain::log_continuity::holds(&fixture.store, &room).await.unwrap());
        fixture.store.meet_another_server();
        let moved = |from, to| format!("UPDATE messages SET seq = {to} WHERE seq = {from}");
        fixture.store.execute(&moved(lost, 1_000)).await;
        assert!(
            !crate::domain::log_continuity::holds(&fixture.store, &room).await.unwrap(),
            "{lost} is lost, and {other} is not"
        );
        fixture.store.execute(&moved(1_000, lost)).await;
    }
}

async fn what_was_published_is_looked_up_once_in_the_log_of_another_server(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let _listens = fixture.chat().await;
    for body in ["one", "two", "three"] {
        send(&fixture, body).await;
    }
    fixture.chat.name_cache().invalidate();
    let (mut behind, _) = resume(&fixture, Seq::ZERO, None).await;
    let (mut other, _) = resume(&fixture, Seq::ZERO, None).await;
    fixture.store.meet_another_server();
    assert!(poll_fn(|context| behind.poll_frames(context)).await.unwrap().is_ok());
    // A second lookup would find that it is lost.
    fixture.store.execute("DELETE FROM messages WHERE seq = 3").await;
    assert!(poll_fn(|context| other.poll_frames(context)).await.unwrap().is_ok());
    fixture.store.meet_another_server();
    let (room, store) = (fixture.hub.get(fixture.member.room).unwrap(), &fixture.store);
    assert!(
        !crate::domain::log_continuity::holds(store, &room).await.unwrap(),
        "it is looked up on the next server"
    );
}

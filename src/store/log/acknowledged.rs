//! What is acknowledged because it was found in the log, and not because it was just committed.

use grpcchatter_entity::room;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, Statement};

use super::{
    tests::{deadline, draft, only_lane},
    *,
};
use crate::{
    clock::Clock,
    store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
};

on_each_database! {
    a_retry_is_answered_by_what_its_message_says_however_much_that_is,
}

async fn a_retry_is_answered_by_what_its_message_says_however_much_that_is(database: TemporaryDatabase) {
    const COUNT: u8 = 200;
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let long = |id: u8, last: &str| {
        let body = MessageBody::parse("x".repeat(999) + last, 2_000, None).unwrap();
        Draft { body, ..draft(&member, Some(id), "longer") }
    };
    let mut lane = only_lane(&store).await;
    let first: Vec<Draft> = (0..COUNT).map(|id| long(id, "!")).collect();
    let stored = lane.append(&first, deadline()).await.receipts;
    // Some say the same, some something else that is as long, and some something shorter.
    let again: Vec<Draft> = (0..COUNT)
        .map(|id| match id % 3 {
            0 => long(id, "!"),
            1 => long(id, "?"),
            _ => draft(&member, Some(id), "short"),
        })
        .collect();
    let answers = lane.append(&again, deadline()).await;
    assert!(answers.rooms.is_empty(), "nothing is new");
    for (place, (stored, answer)) in stored.into_iter().zip(answers.receipts).enumerate() {
        match (place % 3, answer.unwrap()) {
            (0, Ok(receipt)) => {
                let stored = stored.unwrap().unwrap().message;
                assert!(receipt.duplicate);
                assert_eq!(
                    (receipt.message.seq, receipt.message.message_id),
                    (stored.seq, stored.message_id)
                );
            }
            (1 | 2, Err(Error::ClientMessageIdReused)) => {}
            (_, answer) => panic!("{place}: {answer:?}"),
        }
    }
}

/// Returns what became of the transaction that locked a room last.
async fn last_lock(store: &TemporaryStore, room: RoomId) -> String {
    let sql = "SELECT pg_xact_status(xmax::text::xid8) AS status FROM rooms WHERE id = $1";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [room.0.into()]);
    let row = store.reader().query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "status").unwrap()
}

/// It is, so that it waits behind the commit of what it found, which may still wait for a standby, or never got there.
#[tokio::test]
async fn a_batch_of_repeats_is_committed_and_has_locked_its_room() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let mut lane = only_lane(&store).await;
    let said = [draft(&member, Some(1), "once")];
    lane.append(&said, deadline()).await;
    let again = lane.append(&said, deadline()).await;
    assert!(again.receipts[0].as_ref().unwrap().as_ref().unwrap().duplicate);
    assert_eq!(last_lock(&store, room.id).await, "committed");
    // What is refused rests on nothing.
    let reused = lane.append(&[draft(&member, Some(1), "twice")], deadline()).await;
    assert!(matches!(reused.receipts[0], Some(Err(Error::ClientMessageIdReused))));
    assert_eq!(last_lock(&store, room.id).await, "aborted");
}

#[tokio::test]
async fn a_commit_that_is_looked_up_is_committed_again_where_it_is_there() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let mut lane = only_lane(&store).await;
    let drafts = [draft(&member, Some(1), "is it there?")];
    let (batch, _, doubt) = lane.prepare(&drafts, &[0], false).await.unwrap();
    batch.rollback().await.unwrap();
    assert!(!lane.was_committed(doubt.unwrap(), deadline()).await);
    assert_eq!(last_lock(&store, room.id).await, "aborted");

    let (batch, _, doubt) = lane.prepare(&drafts, &[0], false).await.unwrap();
    batch.commit().await.unwrap();
    assert!(lane.was_committed(doubt.unwrap(), deadline()).await);
    assert_eq!(last_lock(&store, room.id).await, "committed");

    // Nobody acknowledges what was said in a room that is gone.
    let (batch, _, doubt) = lane.prepare(&[draft(&member, Some(2), "last")], &[0], false).await.unwrap();
    batch.commit().await.unwrap();
    room::Entity::delete_by_id(room.id.0).exec(&store.writer().unwrap()).await.unwrap();
    assert!(!lane.was_committed(doubt.unwrap(), deadline()).await);
}

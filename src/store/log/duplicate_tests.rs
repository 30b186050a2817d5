//! Tests of messages that are acknowledged because they were stored before.

use grpcchatter_entity::room;
use sea_orm::{ConnectionTrait as _, DbBackend, EntityTrait as _, Statement, TransactionTrait as _};
use uuid::Uuid;

use super::{
    Draft,
    draft::Deduplicate,
    in_doubt::Resolved,
    lane::InDoubt,
    tests::{deadline, draft, only_lane},
};
use crate::{
    clock::Clock,
    model::{Error, MessageBody, RoomId, Seq},
    store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
};

on_each_database! {
    a_retry_is_compared_with_the_stored_body_whatever_its_length,
    more_commits_in_doubt_than_one_transaction_takes_are_looked_up,
}

async fn a_retry_is_compared_with_the_stored_body_whatever_its_length(database: TemporaryDatabase) {
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
    // A third repeats the body, a third has another body of the same length, a third a shorter one.
    let again: Vec<Draft> = (0..COUNT)
        .map(|id| match id % 3 {
            0 => long(id, "!"),
            1 => long(id, "?"),
            _ => draft(&member, Some(id), "short"),
        })
        .collect();
    let answers = lane.append(&again, deadline()).await;
    assert!(answers.slices.is_empty(), "nothing is new");
    for (nth, (stored, answer)) in stored.into_iter().zip(answers.receipts).enumerate() {
        match (nth % 3, answer.unwrap()) {
            (0, Ok(receipt)) => {
                let stored = stored.unwrap().unwrap().message;
                assert!(receipt.duplicate);
                assert_eq!(
                    (receipt.message.seq, receipt.message.message_id),
                    (stored.seq, stored.message_id)
                );
            }
            (1 | 2, Err(Error::ClientMessageIdReused)) => {}
            (_, answer) => panic!("{nth}: {answer:?}"),
        }
    }
}

/// Returns the outcome of the transaction that locked a room last.
async fn last_lock(store: &TemporaryStore, room: RoomId) -> String {
    let sql = "SELECT pg_xact_status(xmax::text::xid8) AS status FROM rooms WHERE id = $1";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [room.0.into()]);
    let row = store.reader().query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "status").unwrap()
}

/// So its commit waits behind the commit of the message that it found, which may not be on the standby yet.
#[tokio::test]
async fn a_batch_of_repeats_is_committed_and_has_locked_its_room() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let mut lane = only_lane(&store).await;
    let once = [draft(&member, Some(1), "once")];
    lane.append(&once, deadline()).await;
    let again = lane.append(&once, deadline()).await;
    assert!(again.receipts[0].as_ref().unwrap().as_ref().unwrap().duplicate);
    assert_eq!(last_lock(&store, room.id).await, "committed");
    // A refusal acknowledges nothing, so nothing is committed.
    let reused = lane.append(&[draft(&member, Some(1), "twice")], deadline()).await;
    assert!(matches!(reused.receipts[0], Some(Err(Error::ClientMessageIdReused))));
    assert_eq!(last_lock(&store, room.id).await, "aborted");
}

#[tokio::test]
async fn a_commit_in_doubt_is_followed_by_another_commit_if_its_messages_are_stored() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let mut lane = only_lane(&store).await;
    let drafts = [draft(&member, Some(1), "is it there?")];
    let (batch, _, in_doubt) = lane.stage(&drafts, &[0], Deduplicate::ByIndex).await.unwrap();
    batch.rollback().await.unwrap();
    assert_eq!(lane.resolve(vec![in_doubt.unwrap()], deadline()).await, [Resolved::NotStored]);
    assert_eq!(last_lock(&store, room.id).await, "aborted");

    let (batch, _, in_doubt) = lane.stage(&drafts, &[0], Deduplicate::ByIndex).await.unwrap();
    batch.commit().await.unwrap();
    assert!(matches!(lane.resolve(vec![in_doubt.unwrap()], deadline()).await[..], [Resolved::Stored(_)]));
    assert_eq!(last_lock(&store, room.id).await, "committed");

    // Messages of a deleted room are not acknowledged.
    let (batch, _, in_doubt) =
        lane.stage(&[draft(&member, Some(2), "last")], &[0], Deduplicate::ByIndex).await.unwrap();
    batch.commit().await.unwrap();
    room::Entity::delete_by_id(room.id.0).exec(&store.writer().unwrap()).await.unwrap();
    assert_eq!(lane.resolve(vec![in_doubt.unwrap()], deadline()).await, [Resolved::NotStored]);
}

#[tokio::test]
async fn a_locked_room_holds_up_no_other_commit_in_doubt() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let mut lane = only_lane(&store).await;
    let mut in_doubt = Vec::new();
    let mut rooms = Vec::new();
    for short_code in ["aaaaaa", "bbbbbb"] {
        let room = store.room(short_code).await;
        let member = store.member(&format!("walker-{short_code}"), &room).await;
        let drafts = [draft(&member, Some(1), "is it there?")];
        let (batch, _, commit) = lane.stage(&drafts, &[0], Deduplicate::ByIndex).await.unwrap();
        batch.commit().await.unwrap();
        in_doubt.extend(commit);
        rooms.push(room.id);
    }
    let other = store.writer().unwrap().begin().await.unwrap();
    let lock = format!("SELECT id FROM rooms WHERE id = {} FOR UPDATE", rooms[0].0);
    other.query_one_raw(Statement::from_string(DbBackend::Postgres, lock)).await.unwrap();

    let resolved = lane.resolve(in_doubt, deadline()).await;
    assert!(matches!(resolved[..], [Resolved::Unknown, Resolved::Stored(_)]), "{resolved:?}");
    assert!(lane.is_in_doubt(rooms[0]) && !lane.is_in_doubt(rooms[1]));

    assert!(lane.resolve_earlier(deadline()).await.is_empty(), "the room is still locked");
    other.rollback().await.unwrap();
    let slices = lane.resolve_earlier(deadline()).await;
    assert_eq!(slices.into_iter().map(|(room, _)| room).collect::<Vec<_>>(), [rooms[0]]);
    assert!(!lane.is_in_doubt(rooms[0]));
}

async fn more_commits_in_doubt_than_one_transaction_takes_are_looked_up(database: TemporaryDatabase) {
    const COMMITS: usize = 250;
    let store = TemporaryStore::open(database, Clock::system()).await;
    let mut lane = only_lane(&store).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let drafts: Vec<_> = (0..COMMITS).map(|_| draft(&member, None, "is it there?")).collect();
    let batch: Vec<_> = (0..COMMITS).collect();
    let (transaction, outcome, _) = lane.stage(&drafts, &batch, Deduplicate::ByIndex).await.unwrap();
    transaction.commit().await.unwrap();
    let is_stored = |nth: usize| !nth.is_multiple_of(3);
    let messages = outcome.slices[0].1.messages.iter().enumerate();
    let commits = messages.map(|(nth, message)| InDoubt {
        room: room.id,
        seq: Seq::FIRST,
        message_id: if is_stored(nth) { message.message_id } else { Uuid::from_u128(nth as u128) },
        may_begin_later: false,
        slices: Vec::new(),
    });
    let resolved = lane.resolve(commits.collect(), deadline()).await;
    let expected = (1..).zip(0..COMMITS).map(|(seq, nth)| match is_stored(nth) {
        true => Resolved::Stored(Seq(seq)),
        false => Resolved::NotStored,
    });
    assert!(resolved.iter().copied().eq(expected), "{resolved:?}");
}

//! Tests of deleting messages by age, and with their room.

use sea_orm::{ActiveModelTrait as _, ActiveValue::Set};
use uuid::Uuid;

use super::*;
use crate::{
    clock::Clock,
    model::{Seq, UserName},
    store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
};

on_each_database! {
    old_messages_are_deleted_from_the_beginning_only,
    a_long_log_is_deleted_in_small_transactions,
    only_messages_of_deleted_rooms_are_swept,
}

/// Makes a room whose messages were stored at these times.
async fn room_with(store: &TemporaryStore, code: &str, moments: &[i64]) -> RoomId {
    let owner =
        store.create_account(UserName::trusted(format!("owner{code}1")), "hash".into()).await.unwrap();
    let made = room::ActiveModel {
        short_code: Set(code.into()),
        name: Set(String::new()),
        owner_id: Set(owner.id.0),
        created_at: Set(0),
        active_at: Set(0),
        last_seq: Set(i64::try_from(moments.len()).unwrap()),
        ..Default::default()
    };
    let made = RoomId(made.insert(&store.writer().unwrap()).await.unwrap().id);
    let rows = moments.iter().zip(1..).map(|(moment, seq)| message::ActiveModel {
        room_id: Set(made.0),
        seq: Set(seq),
        message_id: Set(Uuid::from_u128(seq.unsigned_abs().into())),
        user_id: Set(owner.id.0),
        body: Set(String::new()),
        created_at: Set(*moment),
        client_message_id: Set(None),
    });
    message::Entity::insert_many(rows).exec_without_returning(&store.writer().unwrap()).await.unwrap();
    made
}

async fn kept(store: &TemporaryStore, id: RoomId) -> (i64, Vec<i64>) {
    let first_seq = room::Entity::find_by_id(id.0).one(store.reader()).await.unwrap().unwrap().first_seq;
    let messages = store.messages(id, Seq::ZERO, Seq::MAX).await.unwrap();
    (first_seq, messages.into_iter().map(|message| message.seq.0).collect())
}

async fn old_messages_are_deleted_from_the_beginning_only(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    // The fourth is older than the third, as if the clock had been set back.
    let room = room_with(&store, "aaaaaa", &[1, 2, 9, 3, 10]).await;
    let young = room_with(&store, "bbbbbb", &[9, 9]).await;
    assert_eq!(store.expire_messages(Timestamp::from_micros(5), 100).await.unwrap(), 2);
    assert_eq!(kept(&store, room).await, (3, vec![3, 4, 5]));
    assert_eq!(kept(&store, young).await, (1, vec![1, 2]));
    assert_eq!(store.expire_messages(Timestamp::from_micros(5), 100).await.unwrap(), 0);
}

async fn a_long_log_is_deleted_in_small_transactions(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = room_with(&store, "aaaaaa", &[1; 25]).await;
    assert_eq!(store.expire_messages(Timestamp::from_micros(2), 10).await.unwrap(), 25);
    assert_eq!(kept(&store, room).await, (26, vec![]));
}

async fn only_messages_of_deleted_rooms_are_swept(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let first = room_with(&store, "aaaaaa", &[1; 5]).await;
    let gone = room_with(&store, "bbbbbb", &[1; 25]).await;
    let kept_room = room_with(&store, "cccccc", &[1; 5]).await;
    let last = room_with(&store, "dddddd", &[1; 20]).await;
    assert_eq!(store.sweep_messages(10).await.unwrap(), 0);
    for room in [first, gone, last] {
        store.delete_room(room).await.unwrap();
    }
    assert_eq!(store.sweep_batch(gone, 10).await.unwrap(), 10, "one transaction deletes no more");
    assert_eq!(store.sweep_messages(10).await.unwrap(), 5 + 15 + 20);
    assert_eq!(store.sweep_messages(10).await.unwrap(), 0);
    assert!(store.messages(gone, Seq::ZERO, Seq::MAX).await.unwrap().is_empty());
    assert_eq!(kept(&store, kept_room).await.1, vec![1, 2, 3, 4, 5]);
}

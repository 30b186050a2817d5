use sea_orm::{ActiveModelTrait as _, ActiveValue::Set};
use uuid::Uuid;

use super::*;
use crate::{
    clock::Clock,
    model::UserName,
    store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
};

on_each_database! {
    a_prefix_is_removed_and_nothing_from_the_middle,
    a_long_log_is_removed_in_small_transactions_to_its_end,
    the_messages_of_a_deleted_room_are_swept_up_and_no_others,
}

/// A room whose messages were stored at these moments.
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
    let messages = store.messages(id, 0, i64::MAX).await.unwrap();
    (first_seq, messages.into_iter().map(|message| message.seq).collect())
}

async fn a_prefix_is_removed_and_nothing_from_the_middle(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    // The clock was set back once: the fourth is older than the third.
    let room = room_with(&store, "aaaaaa", &[1, 2, 9, 3, 10]).await;
    let young = room_with(&store, "bbbbbb", &[9, 9]).await;
    assert_eq!(store.expire_messages(Timestamp::from_micros(5), 100).await.unwrap(), 2);
    assert_eq!(kept(&store, room).await, (3, vec![3, 4, 5]));
    assert_eq!(kept(&store, young).await, (1, vec![1, 2]));
    assert_eq!(store.expire_messages(Timestamp::from_micros(5), 100).await.unwrap(), 0);
}

async fn a_long_log_is_removed_in_small_transactions_to_its_end(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = room_with(&store, "aaaaaa", &[1; 25]).await;
    assert_eq!(store.expire_messages(Timestamp::from_micros(2), 10).await.unwrap(), 25);
    assert_eq!(kept(&store, room).await, (26, vec![]));
}

async fn the_messages_of_a_deleted_room_are_swept_up_and_no_others(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let first = room_with(&store, "aaaaaa", &[1; 5]).await;
    let gone = room_with(&store, "bbbbbb", &[1; 25]).await;
    let kept_room = room_with(&store, "cccccc", &[1; 5]).await;
    let last = room_with(&store, "dddddd", &[1; 20]).await;
    assert_eq!(store.sweep_messages(10).await.unwrap(), 0);
    for room in [first, gone, last] {
        store.delete_room(room).await.unwrap();
    }
    assert_eq!(store.sweep_some(gone, 10).await.unwrap(), 10, "one transaction removes no more");
    assert_eq!(store.sweep_messages(10).await.unwrap(), 5 + 15 + 20);
    assert_eq!(store.sweep_messages(10).await.unwrap(), 0);
    assert!(store.messages(gone, 0, i64::MAX).await.unwrap().is_empty());
    assert_eq!(kept(&store, kept_room).await.1, vec![1, 2, 3, 4, 5]);
}

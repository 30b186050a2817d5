//! Tests of members.

use std::{
    pin::pin,
    task::{Context, Waker},
};

use grpcchatter_entity::member;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, EntityTrait as _};

use crate::{
    clock::Clock,
    model::{Error, Seq, UserIdentity},
    store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
};

on_each_database! {
    a_dropped_caller_leaves_the_start_of_a_chat_to_the_next,
}

async fn a_dropped_caller_leaves_the_start_of_a_chat_to_the_next(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let user = store.member("walker1", &room).await.user;
    {
        let mut taking = pin!(store.take_chat_start(room.id, user));
        assert!(taking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(store.take_chat_start(room.id, user).await.unwrap(), Some(Seq::ZERO));
    assert_eq!(store.take_chat_start(room.id, user).await.unwrap(), None);
}

#[tokio::test]
async fn an_account_that_is_entering_a_room_is_deleted_only_after_it_has_entered() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let (old, new) = (store.room("aaaaaa").await, store.room("bbbbbb").await);
    let member = store.member("walker1", &old).await;
    let (user, user_name, session) = (member.user, member.user_name.clone(), member.session);
    let hash = store.find_account(user).await.unwrap().unwrap().password_hash;
    let entering = store.begin().await.unwrap();
    store.lock_account_of_session(&entering, user, session, store.clock().now()).await.unwrap();
    let deleting = tokio::spawn({
        let beside = store.open_beside().await;
        async move { beside.delete_account(user, hash).await }
    });
    store.waiting_for_locks(1).await;
    let entered = member::ActiveModel {
        room_id: Set(new.id.0),
        user_id: Set(user.0),
        joined: Set(true),
        banned: Set(false),
        epoch: Set(0),
        room_epoch: Set(0),
        chat_from: Set(None),
        last_join: Set(0),
    };
    entered.insert(&entering).await.unwrap();
    entering.commit().await.unwrap();
    assert_eq!(deleting.await.unwrap().unwrap(), [session]);
    let members = member::Entity::find().all(store.reader()).await.unwrap();
    assert!(members.len() == 2 && members.iter().all(|member| !member.joined), "{members:?}");
    let caller = UserIdentity { user, user_name, session };
    assert!(matches!(store.join_room(&old, 0, &caller, None).await, Err(Error::TokenRevoked)));
}

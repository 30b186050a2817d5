use std::{
    pin::pin,
    task::{Context, Waker},
};

use crate::{
    clock::Clock,
    store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
};

on_each_database! {
    whoever_does_not_wait_for_the_start_of_a_chat_leaves_it_to_the_next,
}

async fn whoever_does_not_wait_for_the_start_of_a_chat_leaves_it_to_the_next(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let user = store.member("walker1", &room).await.user;
    {
        let mut taking = pin!(store.take_chat_from(room.id, user));
        assert!(taking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(store.take_chat_from(room.id, user).await.unwrap(), Some(0));
    assert_eq!(store.take_chat_from(room.id, user).await.unwrap(), None);
}

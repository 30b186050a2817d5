use std::{
    pin::pin,
    task::{Context, Waker},
};

use crate::{clock::Clock, store::temporary::TemporaryStore};

#[tokio::test]
async fn whoever_does_not_wait_for_the_start_of_a_chat_leaves_it_to_the_next() {
    let store = TemporaryStore::open(Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let user = store.member("walker1", &room).await.user;
    {
        let mut taking = pin!(store.take_chat_from(room.id, user));
        assert!(taking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(store.take_chat_from(room.id, user).await.unwrap(), Some(0));
    assert_eq!(store.take_chat_from(room.id, user).await.unwrap(), None);
}

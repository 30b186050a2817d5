//! Who waits for whom at the database, and for how long.

use std::sync::{Arc, Weak};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::{
    temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
    *,
};
use crate::model::{Payer, Timestamp, UserId};

on_each_database! {
    whoever_goes_away_while_they_wait_leaves_no_work_behind,
    work_that_has_begun_keeps_its_turn_when_its_caller_goes_away,
    whoever_asks_for_much_delays_another_by_one,
}

async fn open(database: TemporaryDatabase) -> TemporaryStore {
    TemporaryStore::open(database, Clock::manual(Timestamp::from_seconds(1_800_000_000))).await
}

/// Takes turns until there is none.
async fn all_of<T>(turn: impl AsyncFn() -> Option<T>) -> Vec<T> {
    let mut taken = Vec::new();
    while let Some(one) = turn().await {
        taken.push(one);
    }
    assert!(!taken.is_empty());
    taken
}

async fn all_turns(store: &Store) -> (Vec<turns::Turn>, Vec<turns::Turn>) {
    let writes = all_of(async || {
        store.turns().take(Access::Write, None).now_or_never().map(|turn| turn.ok().unwrap())
    });
    let reads =
        all_of(async || store.turns().take(Access::Read, None).now_or_never().map(|pass| pass.ok().unwrap()));
    (writes.await, reads.await)
}

async fn whoever_goes_away_while_they_wait_leaves_no_work_behind(database: TemporaryDatabase) {
    let store = open(database).await;
    let _others = all_turns(&store).await;
    // What the work owns is gone with it.
    let work = |owned: Arc<()>| async move {
        drop(owned);
        Ok(())
    };
    let is_left = |owned: Weak<()>, waiting: std::pin::Pin<Box<dyn Future<Output = Result<()>>>>| {
        let mut waiting = waiting;
        assert!((&mut waiting).now_or_never().is_none());
        drop(waiting);
        owned.strong_count() > 0
    };
    for _ in 0..3 {
        let owned = Arc::new(());
        assert!(!is_left(Arc::downgrade(&owned), Box::pin(store.writing("write", work(owned)))));
        let owned = Arc::new(());
        assert!(!is_left(Arc::downgrade(&owned), Box::pin(store.reading("read", work(owned)))));
    }
}

/// Work that says when it has begun, and ends when it is let go.
fn endless()
-> (impl Future<Output = DbResult<()>> + Send + 'static, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let (begun, has_begun) = oneshot::channel();
    let (let_go, end) = oneshot::channel::<()>();
    let work = async move {
        begun.send(()).unwrap();
        // It ends with an error, when the sender is dropped.
        drop(end.await);
        Ok(())
    };
    (work, has_begun, let_go)
}

/// Begins work, and goes away from it.
async fn begun_and_left<F: Future<Output = Result<()>>>(working: F, has_begun: oneshot::Receiver<()>) {
    tokio::select! {
        _ = working => panic!("it does not end"),
        begun = has_begun => begun.unwrap(),
    }
}

async fn work_that_has_begun_keeps_its_turn_when_its_caller_goes_away(database: TemporaryDatabase) {
    let store = open(database).await;
    let (mut writes, mut reads) = all_turns(&store).await;
    for _ in 0..2 {
        drop(reads.pop());
        let (work, has_begun, let_go) = endless();
        begun_and_left(store.reading("read", work), has_begun).await;
        assert!(
            store.turns().take(Access::Read, None).now_or_never().is_none(),
            "the work still has the turn"
        );
        drop(let_go);
        reads.push(store.turns().take(Access::Read, None).await.ok().unwrap());

        drop(writes.pop());
        let (work, has_begun, let_go) = endless();
        begun_and_left(store.writing("write", work), has_begun).await;
        assert!(
            store.turns().take(Access::Write, None).now_or_never().is_none(),
            "the work still has the turn"
        );
        drop(let_go);
        writes.push(store.turns().take(Access::Write, None).await.ok().unwrap());
    }
}

async fn whoever_asks_for_much_delays_another_by_one(database: TemporaryDatabase) {
    let store = open(database).await;
    let (greedy, other) = (Payer::User(UserId(1)), Payer::User(UserId(2)));
    let (mut writes, mut reads) = all_turns(&store).await;
    let work = || async { Ok(()) };

    let mut many: Vec<_> =
        (0..4).map(|_| Box::pin(charged_to(greedy, store.reading("read", work())))).collect();
    assert!(many.iter_mut().all(|one| one.now_or_never().is_none()));
    let mut one = Box::pin(charged_to(other, store.reading("read", work())));
    assert!((&mut one).now_or_never().is_none());
    drop(reads.pop());
    many.remove(0).await.unwrap();
    // The next turn is theirs: nobody else is polled.
    one.await.unwrap();
    drop((many, reads));

    let mut many: Vec<_> =
        (0..4).map(|_| Box::pin(charged_to(greedy, store.writing("write", work())))).collect();
    assert!(many.iter_mut().all(|one| one.now_or_never().is_none()));
    let mut one = Box::pin(charged_to(other, store.writing("write", work())));
    assert!((&mut one).now_or_never().is_none());
    drop(writes.pop());
    many.remove(0).await.unwrap();
    one.await.unwrap();
}

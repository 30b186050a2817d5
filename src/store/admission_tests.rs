//! Tests of admission through the public calls of the store.

use std::sync::{Arc, Weak};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::{
    DbResult, Store,
    admission::{self, Access},
    charged_to,
    temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
};
use crate::{
    clock::Clock,
    model::{Payer, Result, Timestamp, UserId},
};

on_each_database! {
    a_caller_that_is_dropped_while_it_waits_leaves_no_work_behind,
    work_that_has_begun_keeps_its_permit_when_its_caller_is_dropped,
    a_payer_with_many_calls_delays_another_by_one,
}

async fn open(database: TemporaryDatabase) -> TemporaryStore {
    TemporaryStore::open(database, Clock::manual(Timestamp::from_seconds(1_800_000_000))).await
}

/// Acquires permits until there is none.
async fn all_of<T>(acquire: impl AsyncFn() -> Option<T>) -> Vec<T> {
    let mut permits = Vec::new();
    while let Some(permit) = acquire().await {
        permits.push(permit);
    }
    assert!(!permits.is_empty());
    permits
}

async fn all_permits(store: &Store) -> (Vec<admission::AdmissionPermit>, Vec<admission::AdmissionPermit>) {
    let writes = all_of(async || {
        store.admission().acquire(Access::Write, None).now_or_never().map(|permit| permit.ok().unwrap())
    });
    let reads = all_of(async || {
        store.admission().acquire(Access::Read, None).now_or_never().map(|permit| permit.ok().unwrap())
    });
    (writes.await, reads.await)
}

async fn a_caller_that_is_dropped_while_it_waits_leaves_no_work_behind(database: TemporaryDatabase) {
    let store = open(database).await;
    let _others = all_permits(&store).await;
    // Shows whether the work still exists.
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

/// Work that reports when it has begun, and ends when the sender is dropped.
fn endless()
-> (impl Future<Output = DbResult<()>> + Send + 'static, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let (begun, has_begun) = oneshot::channel();
    let (release, end) = oneshot::channel::<()>();
    let work = async move {
        begun.send(()).unwrap();
        // It ends with an error, when the sender is dropped.
        drop(end.await);
        Ok(())
    };
    (work, has_begun, release)
}

/// Polls a call until its work has begun, and drops the call.
async fn begin_and_drop<F: Future<Output = Result<()>>>(working: F, has_begun: oneshot::Receiver<()>) {
    tokio::select! {
        _ = working => panic!("it does not end"),
        begun = has_begun => begun.unwrap(),
    }
}

async fn work_that_has_begun_keeps_its_permit_when_its_caller_is_dropped(database: TemporaryDatabase) {
    let store = open(database).await;
    let (mut writes, mut reads) = all_permits(&store).await;
    for _ in 0..2 {
        drop(reads.pop());
        let (work, has_begun, release) = endless();
        begin_and_drop(store.reading("read", work), has_begun).await;
        assert!(
            store.admission().acquire(Access::Read, None).now_or_never().is_none(),
            "the work still has the permit"
        );
        drop(release);
        reads.push(store.admission().acquire(Access::Read, None).await.ok().unwrap());

        drop(writes.pop());
        let (work, has_begun, release) = endless();
        begin_and_drop(store.writing("write", work), has_begun).await;
        assert!(
            store.admission().acquire(Access::Write, None).now_or_never().is_none(),
            "the work still has the permit"
        );
        drop(release);
        writes.push(store.admission().acquire(Access::Write, None).await.ok().unwrap());
    }
}

async fn a_payer_with_many_calls_delays_another_by_one(database: TemporaryDatabase) {
    let store = open(database).await;
    let (busy, other) = (Payer::User(UserId(1)), Payer::User(UserId(2)));
    let (mut writes, mut reads) = all_permits(&store).await;
    let work = || async { Ok(()) };

    let mut many: Vec<_> =
        (0..4).map(|_| Box::pin(charged_to(busy, store.reading("read", work())))).collect();
    assert!(many.iter_mut().all(|one| one.now_or_never().is_none()));
    let mut one = Box::pin(charged_to(other, store.reading("read", work())));
    assert!((&mut one).now_or_never().is_none());
    drop(reads.pop());
    many.remove(0).await.unwrap();
    // The other payer is next, although only its call is polled.
    one.await.unwrap();
    drop((many, reads));

    let mut many: Vec<_> =
        (0..4).map(|_| Box::pin(charged_to(busy, store.writing("write", work())))).collect();
    assert!(many.iter_mut().all(|one| one.now_or_never().is_none()));
    let mut one = Box::pin(charged_to(other, store.writing("write", work())));
    assert!((&mut one).now_or_never().is_none());
    drop(writes.pop());
    many.remove(0).await.unwrap();
    one.await.unwrap();
}

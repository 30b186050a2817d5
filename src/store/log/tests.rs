//! Tests of appending, most of them against a model of the log.

use std::{sync::Arc, time::Duration};

use grpcchatter_entity::session;
use proptest::{
    collection::vec,
    option,
    prelude::{Just, ProptestConfig, Strategy, TestCaseError},
    prop_assert, prop_assert_eq, prop_oneof,
    test_runner::TestRunner,
};
use sea_orm::{ConnectionTrait as _, DbBackend, EntityTrait as _};
use tokio::{runtime::Runtime, time::Instant};
use uuid::Uuid;

use super::*;
use crate::{
    clock::Clock,
    model::{ChatIdentity, ClientMessageId, Error, MessageBody, Result, Room, Seq, Timestamp},
    store::{
        Head,
        temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
    },
};

on_each_database! {
    only_the_message_at_fault_is_refused_in_a_batch_that_the_database_refuses,
    a_cached_membership_does_not_outlive_its_session,
    a_session_that_another_process_ended_writes_nothing,
}

pub(super) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

pub(super) fn draft(identity: &Arc<ChatIdentity>, id: Option<u8>, body: &str) -> Draft {
    let client_message_id = id.map(|id| ClientMessageId::trusted(format!("id-{id}")));
    let body = MessageBody::parse(body.to_owned(), 100, client_message_id.as_ref()).unwrap();
    Draft { identity: Arc::clone(identity), body, client_message_id, message_id: Clock::system().uuid() }
}

pub(super) async fn only_lane(store: &TemporaryStore) -> Lane {
    let mut lanes = store.lanes().await.lanes;
    lanes.truncate(1);
    lanes.remove(0)
}

async fn only_the_message_at_fault_is_refused_in_a_batch_that_the_database_refuses(
    database: TemporaryDatabase,
) {
    const AT_FAULT: [usize; 3] = [0, 777, 778];
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let rule = match store.backend() {
        DbBackend::Sqlite => {
            "CREATE TRIGGER decency BEFORE INSERT ON messages WHEN NEW.body = 'rude' \
             BEGIN SELECT RAISE(ABORT, 'rude'); END"
        }
        _ => "ALTER TABLE messages ADD CONSTRAINT decency CHECK (body <> 'rude')",
    };
    store.writer().unwrap().execute_unprepared(rule).await.unwrap();
    let bodies = (0..2_000).map(|nth| if AT_FAULT.contains(&nth) { "rude" } else { "polite" });
    let drafts: Vec<Draft> = bodies.map(|body| draft(&member, None, body)).collect();
    let appended = only_lane(&store).await.append(&drafts, deadline()).await;
    let mut next = Seq::FIRST;
    for (place, receipt) in appended.receipts.into_iter().enumerate() {
        match receipt.unwrap() {
            Ok(receipt) => {
                assert_eq!(receipt.message.seq, next, "in the order of the batch");
                next = next.next();
            }
            Err(error) => {
                assert!(matches!(error, Error::Internal), "{error}");
                assert!(AT_FAULT.contains(&place), "{place} is not at fault");
            }
        }
    }
    assert_eq!(next, Seq::FIRST.skip(2_000 - 3));
    assert_eq!(store.messages(room.id, Seq::ZERO, Seq::MAX).await.unwrap().len(), 2_000 - 3);
}

async fn a_cached_membership_does_not_outlive_its_session(database: TemporaryDatabase) {
    let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
    let store = TemporaryStore::open(database, clock.clone()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let mut lane = only_lane(&store).await;
    for (minutes, stands) in [(0, true), (59, true), (60, false)] {
        clock.set(Timestamp::from_seconds(1_800_000_000 + minutes * 60));
        let mut appended = lane.append(&[draft(&member, None, "still here")], deadline()).await;
        let receipt = appended.receipts.remove(0).unwrap();
        assert_eq!(receipt.is_ok(), stands, "{receipt:?}");
        assert!(stands || matches!(receipt, Err(Error::TokenRevoked)));
    }
}

fn is_revoked(receipt: &Option<Result<Receipt>>) -> bool {
    matches!(receipt, Some(Err(Error::TokenRevoked)))
}

fn is_stored(receipt: &Option<Result<Receipt>>) -> bool {
    matches!(receipt, Some(Ok(_)))
}

async fn a_session_that_another_process_ended_writes_nothing(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let other_session = store.log_in_again(&member).await;
    let mut lane = only_lane(&store).await;
    let drafts = [draft(&member, None, "from here"), draft(&other_session, None, "from there")];
    let receipts = lane.append(&drafts, deadline()).await.receipts;
    assert!(receipts.iter().all(is_stored), "{receipts:?}");
    store.open_beside().await.end_session(member.session, member.user).await.unwrap();
    let receipts = lane.append(&drafts, deadline()).await.receipts;
    assert!(is_revoked(&receipts[0]) && is_stored(&receipts[1]), "{receipts:?}");
}

/// Each waits for the other: no message is committed after the end of its session.
#[tokio::test]
async fn a_batch_and_the_end_of_an_authors_session_are_serialized() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let drafts = [draft(&member, None, "the last word")];
    let mut lane = only_lane(&store).await;
    let (batch, _, in_doubt) = lane.stage(&drafts, &[0], draft::Deduplicate::ByIndex).await.unwrap();
    assert!(in_doubt.is_some(), "there is something to commit");

    let ending = tokio::spawn({
        let (store, member) = (store.open_beside().await, Arc::clone(&member));
        async move { store.end_session(member.session, member.user).await }
    });
    store.waiting_for_locks(1).await;
    assert!(!ending.is_finished() && store.session_is_alive(member.session, member.user).await.unwrap());
    batch.commit().await.unwrap();
    ending.await.unwrap().unwrap();
    assert_eq!(store.messages(room.id, Seq::ZERO, Seq::MAX).await.unwrap().len(), 1);
    let receipts = lane.append(&drafts, deadline()).await.receipts;
    assert!(is_revoked(&receipts[0]), "{receipts:?}");
}

/// So the messages of others do not wait for the transaction that ends it.
#[tokio::test]
async fn a_session_that_another_transaction_is_ending_blocks_only_its_own_messages() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let (member, other) = (store.member("walker1", &room).await, store.member("walker2", &room).await);
    let drafts = [draft(&member, None, "is this stored?"), draft(&other, None, "this is")];
    let Lanes { mut lanes, lock_wait } = store.lanes().await;
    let mut lock_wait = lock_wait.unwrap();
    let beside = store.open_beside().await;
    for commits in [false, true] {
        let ending = beside.begin().await.unwrap();
        let this = session::Entity::delete_by_id(member.session.0).exec(&ending).await.unwrap();
        assert_eq!(this.rows_affected, 1);
        let receipts = lanes[0].append(&drafts, deadline()).await.receipts;
        assert!(receipts[0].is_none() && is_stored(&receipts[1]), "{receipts:?}");
        let (appended, ()) = tokio::join!(lock_wait.append(&drafts[..1], deadline()), async {
            store.waiting_for_locks(1).await;
            let ended = if commits { ending.commit().await } else { ending.rollback().await };
            ended.unwrap();
        });
        let receipt = &appended.receipts[0];
        assert!(if commits { is_revoked(receipt) } else { is_stored(receipt) }, "{receipt:?}");
    }
}

/// A step of a generated history.
#[derive(Clone, Debug)]
enum Step {
    /// Appends a batch of (author, client message id, body).
    Append(Vec<(usize, Option<u8>, u8)>),
    /// The server restarts.
    Restart,
    /// The session of this author ends.
    LogOut(usize),
    /// This author gets another session.
    LogIn(usize),
    /// All messages older than this batch, counted from the oldest that is kept, are removed.
    Expire(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few ids and bodies, so that many repeat, within a batch and later, with the same body and with another.
    let draft = (0..2_usize, option::of(0..5_u8), 0..2_u8);
    let step = prop_oneof![
        6 => vec(draft, 1..8).prop_map(Step::Append),
        1 => Just(Step::Restart),
        1 => (0..2_usize).prop_map(Step::LogOut),
        2 => (0..2_usize).prop_map(Step::LogIn),
        2 => (0..6_usize).prop_map(Step::Expire),
    ];
    vec(step, 1..12)
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    seq: Seq,
    author: usize,
    id: Option<u8>,
    body: u8,
    message_id: Uuid,
    stored_at: Timestamp,
}

/// A room, and the expected content of its log.
struct LogModel {
    room: Room,
    authors: Vec<Arc<ChatIdentity>>,
    /// The authors whose sessions have ended.
    logged_out: [bool; 2],
    /// The messages that are kept.
    log: Vec<Entry>,
    last: Option<(Seq, Uuid)>,
    first_seq: Seq,
}

impl LogModel {
    async fn open(store: &TemporaryStore, code: &str) -> Self {
        let room = store.room(code).await;
        let mut authors = Vec::new();
        for nth in 0..2 {
            authors.push(store.member(&format!("walker{nth}{code}"), &room).await);
        }
        Self { room, authors, logged_out: [false; 2], log: Vec::new(), last: None, first_seq: Seq::FIRST }
    }

    async fn append(
        &mut self,
        lane: &mut Lane,
        batch: &[(usize, Option<u8>, u8)],
    ) -> Result<(), TestCaseError> {
        let stored_at = lane.store.clock().now() + Duration::from_secs(1);
        lane.store.clock().set(stored_at);
        let drafts: Vec<Draft> = batch
            .iter()
            .map(|&(author, id, body)| draft(&self.authors[author], id, &body.to_string()))
            .collect();
        let Appended { receipts, slices } = lane.append(&drafts, deadline()).await;
        let mut before = self.last.map(|(_, id)| id);
        for (_, slice) in &slices {
            prop_assert_eq!(slice.before, before, "the message before it");
            before = slice.messages.last().map(|message| message.message_id);
        }
        let mut published =
            slices.into_iter().flat_map(|(_, slice)| slice.messages).map(|message| message.message_id);
        for (&(author, id, body), receipt) in batch.iter().zip(receipts) {
            let receipt = receipt.expect("no other transaction holds the room or the session");
            if self.logged_out[author] {
                prop_assert!(matches!(receipt, Err(Error::TokenRevoked)), "{receipt:?}");
                continue;
            }
            let known =
                self.log.iter().find(|entry| id.is_some() && (entry.author, entry.id) == (author, id));
            match (known, receipt) {
                (Some(entry), Ok(receipt)) => {
                    prop_assert_eq!((entry.body, receipt.duplicate), (body, true));
                    prop_assert_eq!(
                        (entry.seq, entry.message_id),
                        (receipt.message.seq, receipt.message.message_id)
                    );
                }
                (Some(entry), Err(error)) => {
                    prop_assert!(matches!(error, Error::ClientMessageIdReused), "{error}");
                    prop_assert!(entry.body != body);
                }
                (None, receipt) => {
                    let message = receipt.map_err(|error| TestCaseError::fail(error.to_string()))?.message;
                    let seq = self.last.map_or(Seq::FIRST, |(last, _)| last.next());
                    prop_assert_eq!(message.seq, seq);
                    prop_assert_eq!(
                        published.next(),
                        Some(message.message_id),
                        "new messages are published, in order"
                    );
                    self.last = Some((seq, message.message_id));
                    self.log.push(Entry { seq, author, id, body, message_id: message.message_id, stored_at });
                }
            }
        }
        prop_assert_eq!(published.next(), None, "and nothing else");
        Ok(())
    }

    async fn log_out(&mut self, store: &TemporaryStore, author: usize) {
        let identity = &self.authors[author];
        store.end_session(identity.session, identity.user).await.unwrap();
        self.logged_out[author] = true;
    }

    async fn log_in(&mut self, store: &TemporaryStore, author: usize) {
        self.authors[author] = store.log_in_again(&self.authors[author]).await;
        self.logged_out[author] = false;
    }

    async fn expire(&mut self, store: &TemporaryStore, batch: usize) {
        let mut moments: Vec<Timestamp> = self.log.iter().map(|entry| entry.stored_at).collect();
        moments.dedup();
        let before = moments.get(batch).copied().unwrap_or(Timestamp::from_micros(i64::MAX));
        store.expire_messages(before, 3).await.unwrap();
        self.log.retain(|entry| entry.stored_at >= before);
        self.first_seq = match (self.log.first(), self.last) {
            (Some(entry), _) => entry.seq,
            (None, last) => last.map_or(Seq::FIRST, |(last, _)| last.next()),
        };
    }

    /// The database holds what the model does.
    async fn compare(&self, store: &TemporaryStore) -> Result<(), TestCaseError> {
        let stored = store.messages(self.room.id, Seq::ZERO, Seq::MAX).await.unwrap();
        prop_assert_eq!(stored.len(), self.log.len());
        for (message, entry) in stored.iter().zip(&self.log) {
            prop_assert_eq!((message.seq, message.message_id), (entry.seq, entry.message_id));
            prop_assert_eq!(message.author, self.authors[entry.author].user);
            prop_assert_eq!(message.body.to_string(), entry.body.to_string());
        }
        let heads = store.heads(vec![self.room.id]).await.unwrap();
        let [Head { last_seq, last_message_id, first_seq, .. }] = heads[..] else {
            return Err(TestCaseError::fail("the room is gone"));
        };
        prop_assert_eq!(
            (last_seq, last_message_id),
            self.last.map_or((Seq::ZERO, None), |(seq, id)| (seq, Some(id)))
        );
        prop_assert_eq!(first_seq, self.first_seq);
        Ok(())
    }
}

mod the_log_is_what_was_appended_to_it_whatever_happens_to_it {
    use super::*;

    #[test]
    fn sqlite() {
        let runtime = runtime();
        is_what_was_appended(&runtime, TemporaryDatabase::sqlite());
    }

    #[test]
    fn postgres() {
        let runtime = runtime();
        if let Some(database) = runtime.block_on(TemporaryDatabase::postgres()) {
            is_what_was_appended(&runtime, database);
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A retry of what was removed is a new message; of what is kept, never. Numbers go on over restarts and removals.
fn is_what_was_appended(runtime: &Runtime, database: TemporaryDatabase) {
    let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
    let store = std::cell::RefCell::new(runtime.block_on(TemporaryStore::open(database, clock)));
    let rooms = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig { cases: 32, ..ProptestConfig::default() });
    let held = runner.run(&steps(), |steps| {
        rooms.set(rooms.get() + 1);
        let mut store = store.borrow_mut();
        runtime.block_on(async {
            let mut model = LogModel::open(&store, &format!("room{:03}", rooms.get())).await;
            let mut lane = only_lane(&store).await;
            for step in steps {
                match step {
                    Step::Append(batch) => model.append(&mut lane, &batch).await?,
                    Step::Restart => {
                        store.reopen().await;
                        lane = only_lane(&store).await;
                    }
                    Step::LogOut(author) => model.log_out(&store, author).await,
                    Step::LogIn(author) => model.log_in(&store, author).await,
                    Step::Expire(batch) => model.expire(&store, batch).await,
                }
                model.compare(&store).await?;
            }
            Ok(())
        })
    });
    if let Err(broken) = held {
        panic!("{broken}");
    }
}

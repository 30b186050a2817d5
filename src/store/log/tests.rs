//! The log as it is written, against a model of it.

use std::time::Duration;

use grpcchatter_entity::session;
use proptest::{
    collection::vec,
    option,
    prelude::{Just, ProptestConfig, Strategy, TestCaseError},
    prop_assert, prop_assert_eq, prop_oneof,
    test_runner::TestRunner,
};
use sea_orm::{ConnectionTrait as _, EntityTrait as _};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::*;
use crate::{
    clock::Clock,
    model::Room,
    store::{
        Head,
        temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
    },
};

on_each_database! {
    of_a_batch_that_the_database_refuses_only_the_guilty_message_is_refused,
    a_right_is_not_remembered_beyond_the_end_of_its_session,
    what_another_process_has_ended_says_nothing_more,
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

async fn of_a_batch_that_the_database_refuses_only_the_guilty_message_is_refused(
    database: TemporaryDatabase,
) {
    const GUILTY: [usize; 3] = [0, 777, 778];
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
    let bodies = (0..2_000).map(|nth| if GUILTY.contains(&nth) { "rude" } else { "polite" });
    let drafts: Vec<Draft> = bodies.map(|body| draft(&member, None, body)).collect();
    let appended = only_lane(&store).await.append(&drafts, deadline()).await;
    let mut next = 1;
    for (place, receipt) in appended.receipts.into_iter().enumerate() {
        match receipt.unwrap() {
            Ok(receipt) => {
                assert_eq!(receipt.message.seq, next, "in the order of the batch");
                next += 1;
            }
            Err(error) => {
                assert!(matches!(error, Error::Internal), "{error}");
                assert!(GUILTY.contains(&place), "{place} is not guilty");
            }
        }
    }
    assert_eq!(next, 2_000 - 3 + 1);
    assert_eq!(store.messages(room.id, 0, i64::MAX).await.unwrap().len(), 2_000 - 3);
}

async fn a_right_is_not_remembered_beyond_the_end_of_its_session(database: TemporaryDatabase) {
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

async fn what_another_process_has_ended_says_nothing_more(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let again = store.again(&member).await;
    let mut lane = only_lane(&store).await;
    let drafts = [draft(&member, None, "from here"), draft(&again, None, "from there")];
    let receipts = lane.append(&drafts, deadline()).await.receipts;
    assert!(receipts.iter().all(is_stored), "{receipts:?}");
    store.beside().await.end_session(member.session, member.user).await.unwrap();
    let receipts = lane.append(&drafts, deadline()).await.receipts;
    assert!(is_revoked(&receipts[0]) && is_stored(&receipts[1]), "{receipts:?}");
}

/// Whichever is first, the other waits for it: no message is committed after the end of its session.
#[tokio::test]
async fn a_batch_and_the_end_of_a_session_in_it_are_one_after_the_other() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let drafts = [draft(&member, None, "the last word")];
    let mut lane = only_lane(&store).await;
    let (batch, _, doubt) = lane.prepare(&drafts, &[0], false).await.unwrap();
    assert!(doubt.is_some(), "there is something to commit");

    let ending = tokio::spawn({
        let (store, member) = (store.beside().await, Arc::clone(&member));
        async move { store.end_session(member.session, member.user).await }
    });
    store.waiting(1).await;
    assert!(!ending.is_finished() && store.session_is_alive(member.session, member.user).await.unwrap());
    batch.commit().await.unwrap();
    ending.await.unwrap().unwrap();
    assert_eq!(store.messages(room.id, 0, i64::MAX).await.unwrap().len(), 1);
    let receipts = lane.append(&drafts, deadline()).await.receipts;
    assert!(is_revoked(&receipts[0]), "{receipts:?}");
}

/// Nobody else's messages wait for an end that another process is about to commit, or gives up.
#[tokio::test]
async fn a_session_that_is_being_ended_is_passed_over_until_its_end_is_known() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let (member, other) = (store.member("walker1", &room).await, store.member("walker2", &room).await);
    let drafts = [draft(&member, None, "is this stored?"), draft(&other, None, "this is")];
    let Lanes { mut lanes, spare } = store.lanes().await;
    let mut spare = spare.unwrap();
    let beside = store.beside().await;
    for commits in [false, true] {
        let ending = beside.begin().await.unwrap();
        let this = session::Entity::delete_by_id(member.session.0).exec(&ending).await.unwrap();
        assert_eq!(this.rows_affected, 1);
        let receipts = lanes[0].append(&drafts, deadline()).await.receipts;
        assert!(receipts[0].is_none() && is_stored(&receipts[1]), "{receipts:?}");
        let (appended, ()) = tokio::join!(spare.append(&drafts[..1], deadline()), async {
            store.waiting(1).await;
            let ended = if commits { ending.commit().await } else { ending.rollback().await };
            ended.unwrap();
        });
        let receipt = &appended.receipts[0];
        assert!(if commits { is_revoked(receipt) } else { is_stored(receipt) }, "{receipt:?}");
    }
}

/// What may happen to a log.
#[derive(Clone, Debug)]
enum Act {
    /// A batch: who, under which id, what.
    Append(Vec<(usize, Option<u8>, u8)>),
    /// The server starts again.
    Restart,
    /// Somebody's session ends.
    LogOut(usize),
    /// Somebody gets another session.
    LogIn(usize),
    /// What is older than this batch, of those that are kept, is removed.
    Expire(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    // Few ids and bodies, so that many come again, in one batch and later, with the same body and another.
    let draft = (0..2_usize, option::of(0..5_u8), 0..2_u8);
    let act = prop_oneof![
        6 => vec(draft, 1..8).prop_map(Act::Append),
        1 => Just(Act::Restart),
        1 => (0..2_usize).prop_map(Act::LogOut),
        2 => (0..2_usize).prop_map(Act::LogIn),
        2 => (0..6_usize).prop_map(Act::Expire),
    ];
    vec(act, 1..12)
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    seq: i64,
    author: usize,
    id: Option<u8>,
    body: u8,
    message_id: Uuid,
    stored_at: Timestamp,
}

/// A room, and what its log must be.
struct World {
    room: Room,
    authors: Vec<Arc<ChatIdentity>>,
    /// Whose session has ended.
    gone: [bool; 2],
    /// What is kept.
    log: Vec<Entry>,
    last: Option<(i64, Uuid)>,
    first_seq: i64,
}

impl World {
    async fn open(store: &TemporaryStore, code: &str) -> Self {
        let room = store.room(code).await;
        let mut authors = Vec::new();
        for nth in 0..2 {
            authors.push(store.member(&format!("walker{nth}{code}"), &room).await);
        }
        Self { room, authors, gone: [false; 2], log: Vec::new(), last: None, first_seq: 1 }
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
        let Appended { receipts, rooms } = lane.append(&drafts, deadline()).await;
        let mut before = self.last.map(|(_, id)| id);
        for (_, passage) in &rooms {
            prop_assert_eq!(passage.before, before, "what stands before it");
            before = passage.messages.last().map(|message| message.message_id);
        }
        let mut told =
            rooms.into_iter().flat_map(|(_, passage)| passage.messages).map(|message| message.message_id);
        for (&(author, id, body), receipt) in batch.iter().zip(receipts) {
            let receipt = receipt.expect("nobody else holds the room or the session");
            if self.gone[author] {
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
                    let seq = self.last.map_or(1, |(last, _)| last + 1);
                    prop_assert_eq!(message.seq, seq);
                    prop_assert_eq!(
                        told.next(),
                        Some(message.message_id),
                        "what is new is published, in order"
                    );
                    self.last = Some((seq, message.message_id));
                    self.log.push(Entry { seq, author, id, body, message_id: message.message_id, stored_at });
                }
            }
        }
        prop_assert_eq!(told.next(), None, "and nothing else");
        Ok(())
    }

    async fn log_out(&mut self, store: &TemporaryStore, author: usize) {
        let identity = &self.authors[author];
        store.end_session(identity.session, identity.user).await.unwrap();
        self.gone[author] = true;
    }

    async fn log_in(&mut self, store: &TemporaryStore, author: usize) {
        self.authors[author] = store.again(&self.authors[author]).await;
        self.gone[author] = false;
    }

    async fn expire(&mut self, store: &TemporaryStore, batch: usize) {
        let mut moments: Vec<Timestamp> = self.log.iter().map(|entry| entry.stored_at).collect();
        moments.dedup();
        let before = moments.get(batch).copied().unwrap_or(Timestamp::from_micros(i64::MAX));
        store.expire_messages(before, 3).await.unwrap();
        self.log.retain(|entry| entry.stored_at >= before);
        self.first_seq = match (self.log.first(), self.last) {
            (Some(entry), _) => entry.seq,
            (None, last) => last.map_or(1, |(last, _)| last + 1),
        };
    }

    /// The database holds what the model does.
    async fn compare(&self, store: &TemporaryStore) -> Result<(), TestCaseError> {
        let stored = store.messages(self.room.id, 0, i64::MAX).await.unwrap();
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
            self.last.map_or((0, None), |(seq, id)| (seq, Some(id)))
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
    let held = runner.run(&acts(), |acts| {
        rooms.set(rooms.get() + 1);
        let mut store = store.borrow_mut();
        runtime.block_on(async {
            let mut world = World::open(&store, &format!("room{:03}", rooms.get())).await;
            let mut lane = only_lane(&store).await;
            for act in acts {
                match act {
                    Act::Append(batch) => world.append(&mut lane, &batch).await?,
                    Act::Restart => {
                        store.reopen().await;
                        lane = only_lane(&store).await;
                    }
                    Act::LogOut(author) => world.log_out(&store, author).await,
                    Act::LogIn(author) => world.log_in(&store, author).await,
                    Act::Expire(batch) => world.expire(&store, batch).await,
                }
                world.compare(&store).await?;
            }
            Ok(())
        })
    });
    if let Err(broken) = held {
        panic!("{broken}");
    }
}

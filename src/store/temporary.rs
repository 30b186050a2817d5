//! A migrated database that only one test uses: a SQLite file in a folder of its own, or a database in the tests' own
//! PostgreSQL, which is the one that the acceptance tests start.

use std::{ops::Deref, sync::Arc, time::Duration};

use grpcchatter_testbed::Postgres;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use tempfile::TempDir;

use super::{DatabaseUrl, Lanes, NewRoom, NewSession, PostgresUrl, Store, transaction::Transaction};
use crate::{
    clock::Clock,
    model::{ChatIdentity, Room, RoomName, SessionId, ShortCode, Timestamp, UserId, UserIdentity, UserName},
};

/// Runs each of the named functions, `async fn(TemporaryDatabase)`, once on each database, as `name::sqlite` and
/// `name::postgres`. Without PostgreSQL the latter pass over everything, which `tests/coverage.rs` reports.
macro_rules! on_each_database {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::store::temporary::TemporaryDatabase;

            #[tokio::test]
            async fn sqlite() {
                Box::pin(super::$name(TemporaryDatabase::sqlite())).await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(database) = TemporaryDatabase::postgres().await {
                    Box::pin(super::$name(database)).await;
                }
            }
        }
    )+};
}

pub(crate) use on_each_database;

/// The password hash of every account.
const HASH: &str = "hash";

/// An empty database.
pub(crate) struct TemporaryDatabase {
    url: DatabaseUrl,
    /// The folder of a SQLite file; deleted when it is dropped.
    folder: Option<TempDir>,
}

impl TemporaryDatabase {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { url: DatabaseUrl::Sqlite(folder.path().join("grpcchatter.db")), folder: Some(folder) }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let url = Postgres::shared().await?.new_database().await.unwrap();
        let url = PostgresUrl::parse(&url).unwrap();
        Some(Self { url: DatabaseUrl::Postgres(url), folder: None })
    }
}

pub(crate) struct TemporaryStore {
    store: Store,
    url: DatabaseUrl,
    _folder: Option<TempDir>,
}

impl TemporaryStore {
    pub(crate) async fn open(database: TemporaryDatabase, clock: Clock) -> Self {
        let store = Store::connect(&database.url, clock).await.unwrap();
        store.migrate(&database.url).await.unwrap();
        Self { store, url: database.url, _folder: database.folder }
    }

    /// Opens the log's writers.
    pub(crate) async fn lanes(&self) -> Lanes {
        self.store.lanes(&self.url).await.unwrap()
    }

    /// Opens the same database as another process does.
    pub(crate) async fn open_beside(&self) -> Store {
        Store::connect_without_lock(&self.url, self.store.clock().clone()).await.unwrap()
    }

    /// Closes and reopens it, as a restart does.
    pub(crate) async fn reopen(&mut self) {
        self.store.close().await;
        let clock = self.store.clock().clone();
        self.store = Store::connect(&self.url, clock).await.unwrap();
    }
}

impl TemporaryStore {
    /// Creates a room and its owner.
    pub(crate) async fn room(&self, short_code: &str) -> Room {
        let owner = UserName::trusted(format!("owner{short_code}1"));
        let owner = self.create_account(owner, HASH.into()).await.unwrap().id;
        let (short_code, name) = (ShortCode::trusted(short_code), RoomName::parse("lounge".into()).unwrap());
        let new = NewRoom { short_code, name, password_hash: None, owner, max_rooms: None };
        self.create_room(new).await.unwrap().unwrap()
    }

    /// Creates a member of a room, with a session of an hour.
    pub(crate) async fn member(&self, user_name: &str, room: &Room) -> Arc<ChatIdentity> {
        let user_name = UserName::trusted(user_name);
        let user = self.create_account(user_name.clone(), HASH.into()).await.unwrap().id;
        let session = self.log_in(user).await;
        let caller = UserIdentity { user, user_name: user_name.clone(), session };
        let member_epoch = self.join_room(room, 0, &caller, None).await.unwrap().unwrap();
        Arc::new(ChatIdentity {
            user,
            user_name,
            session,
            room: room.id,
            short_code: room.short_code.clone(),
            room_epoch: 0,
            member_epoch,
            expires_at: Timestamp::from_micros(i64::MAX),
        })
    }

    /// Opens another session for a member of a room, and returns the member with it.
    pub(crate) async fn log_in_again(&self, member: &ChatIdentity) -> Arc<ChatIdentity> {
        Arc::new(ChatIdentity { session: self.log_in(member.user).await, ..member.clone() })
    }

    /// Opens a session of an hour.
    pub(crate) async fn log_in(&self, user: UserId) -> SessionId {
        let id = SessionId(self.clock().uuid());
        let refresh_hash = id.0.as_bytes().repeat(2);
        let new = NewSession { id, refresh_hash, lifetime: Duration::from_secs(3_600), max_sessions: None };
        self.open_session(user, HASH.into(), None, new).await.unwrap().0.id
    }

    /// Runs a statement that the server itself never runs.
    pub(crate) async fn execute(&self, sql: &str) {
        self.writer().unwrap().execute_unprepared(sql).await.unwrap();
    }

    /// Makes the store believe that another database server answers.
    pub(crate) fn meet_another_server(&self) {
        self.0.server.record_start(self.clock().uuid().to_string());
    }

    /// Returns once `count` transactions wait for locks. PostgreSQL only.
    pub(crate) async fn waiting_for_locks(&self, count: i64) {
        let sql = "SELECT count(DISTINCT pid) AS waiting FROM pg_locks WHERE NOT granted \
                   AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        let polling = async {
            loop {
                let row = self.reader().query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
                if row.unwrap().unwrap().try_get::<i64>("", "waiting").unwrap() == count {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), polling).await.expect("they wait");
    }
}

impl Store {
    /// Blocks [`Store::wait_for_standby`] until the transaction ends. PostgreSQL only.
    pub(crate) async fn block_standby_wait(&self) -> Transaction {
        let transaction = self.begin().await.unwrap();
        transaction.execute_unprepared("LOCK TABLE meta IN EXCLUSIVE MODE").await.unwrap();
        transaction
    }

    /// Blocks reads of members until the transaction ends. PostgreSQL only.
    pub(crate) async fn lock_members(&self) -> Transaction {
        let transaction = self.begin().await.unwrap();
        transaction.execute_unprepared("LOCK TABLE members IN ACCESS EXCLUSIVE MODE").await.unwrap();
        transaction
    }
}

impl Deref for TemporaryStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

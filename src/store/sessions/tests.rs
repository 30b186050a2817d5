//! Tests of sessions against a database.

use grpcchatter_entity::{member, room};
use sea_orm::{ActiveModelTrait as _, DatabaseTransaction, DbBackend, Statement, TransactionTrait as _};

use super::*;
use crate::{
    clock::Clock,
    model::{UserIdentity, UserName},
    store::{
        AccountChange,
        temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
    },
};

on_each_database! {
    no_way_of_ending_a_session_writes_to_a_room,
    ending_a_session_ends_that_one_and_may_be_repeated,
    ended_sessions_are_found_among_any_number,
    a_user_cannot_end_the_session_of_another,
    a_session_is_alive_until_it_expires,
    expired_sessions_are_deleted,
    a_disabled_account_has_no_living_session,
    a_password_that_was_changed_opens_no_session,
    an_account_that_owns_rooms_cannot_be_deleted,
    a_deleted_account_leaves_its_rooms,
}

const HASH: &str = "hash";

struct Fixture {
    store: TemporaryStore,
    user: UserId,
}

impl Fixture {
    /// Makes 40 rooms, and a user who is a member of all but the first.
    async fn open(database: TemporaryDatabase) -> Self {
        let store =
            TemporaryStore::open(database, Clock::manual(Timestamp::from_seconds(1_800_000_000))).await;
        let owner = store.create_account(UserName::trusted("owner1"), HASH.into()).await.unwrap().id;
        let user = store.create_account(UserName::trusted("walker1"), HASH.into()).await.unwrap().id;
        for nth in 0..40 {
            let room = room::ActiveModel {
                short_code: Set(format!("room{nth}")),
                name: Set(String::new()),
                owner_id: Set(owner.0),
                created_at: Set(0),
                active_at: Set(0),
                ..Default::default()
            };
            let room = room.insert(&store.writer().unwrap()).await.unwrap();
            let member = member::ActiveModel {
                room_id: Set(room.id),
                user_id: Set(user.0),
                joined: Set(nth > 0),
                banned: Set(false),
                epoch: Set(0),
                room_epoch: Set(0),
                chat_from: Set(None),
                last_join: Set(0),
            };
            member.insert(&store.writer().unwrap()).await.unwrap();
        }
        Self { store, user }
    }

    async fn session(&self, hash: u8) -> SessionId {
        self.open_session(hash, None).await.0
    }

    async fn open_session(&self, hash: u8, max_sessions: Option<u32>) -> (SessionId, Vec<SessionId>) {
        let id = SessionId(self.store.clock().uuid());
        let new =
            NewSession { id, refresh_hash: vec![hash; 32], lifetime: Duration::from_secs(60), max_sessions };
        let (session, ended) = self.store.open_session(self.user, HASH.into(), None, new).await.unwrap();
        (session.id, ended)
    }

    /// Presents a refresh token that was never issued.
    async fn refresh(&self, session: SessionId) -> Refreshed {
        let (presented, successor, lifetime) = (vec![98; 32], vec![99; 32], Duration::from_secs(60));
        let rotation = RefreshRotation { session, generation: 0, presented, successor, lifetime };
        self.store.refresh_session(rotation).await.unwrap()
    }

    fn advance(&self, by: Duration) {
        let clock = self.store.clock();
        clock.set(clock.now() + by);
    }

    async fn is_alive(&self, session: SessionId) -> bool {
        self.store.session_is_alive(session, self.user).await.unwrap()
    }

    /// Locks every room in another transaction. `None` on SQLite, which has no row locks.
    async fn lock_rooms(&self) -> Option<DatabaseTransaction> {
        if self.store.backend() == DbBackend::Sqlite {
            return None;
        }
        let holder = self.store.open_beside().await.writer().unwrap().begin().await.unwrap();
        holder.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0").await.unwrap();
        room::Entity::find().lock_exclusive().all(&holder).await.unwrap();
        Some(holder)
    }

    /// Returns the rooms' rows. On PostgreSQL also the transactions that have written or locked them.
    async fn rooms(&self) -> String {
        let rooms = room::Entity::find().order_by_asc(room::Column::Id).all(self.store.reader()).await;
        let rooms = format!("{:?}", rooms.unwrap());
        if self.store.backend() == DbBackend::Sqlite {
            return rooms;
        }
        let sql = "SELECT string_agg(concat_ws(' ', id, xmin, xmax), ', ' ORDER BY id) AS written FROM rooms";
        let row = self.store.reader().query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
        rooms + &row.unwrap().unwrap().try_get::<String>("", "written").unwrap()
    }
}

/// Although another transaction has locked all of the user's rooms.
async fn no_way_of_ending_a_session_writes_to_a_room(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let Fixture { store, user } = &fixture;
    let user = *user;
    let _holder = fixture.lock_rooms().await;
    let rooms = fixture.rooms().await;
    let ended = async |session: SessionId, how: &str| {
        assert!(!fixture.is_alive(session).await, "{how}");
        assert_eq!(fixture.rooms().await, rooms, "{how}");
    };

    let session = fixture.session(1).await;
    store.end_session(session, user).await.unwrap();
    ended(session, "by log-out").await;

    let oldest = fixture.session(2).await;
    let (session, others) = fixture.open_session(3, Some(1)).await;
    assert_eq!(others, [oldest]);
    ended(oldest, "by a log-in beyond the limit").await;

    assert!(matches!(fixture.refresh(session).await, Refreshed::Reused(of) if of == user));
    ended(session, "by a reused token").await;

    let session = fixture.session(4).await;
    fixture.advance(Duration::from_secs(60));
    assert!(matches!(fixture.refresh(session).await, Refreshed::Expired(of) if of == user));
    ended(session, "by an expired token").await;

    let session = fixture.session(5).await;
    fixture.advance(Duration::from_secs(60));
    store.end_expired_sessions(100).await.unwrap();
    ended(session, "by expiry").await;

    let (kept, session) = (fixture.session(6).await, fixture.session(7).await);
    assert_eq!(store.change_password(user, HASH.into(), HASH.into(), kept).await.unwrap(), [session]);
    ended(session, "by a new password").await;

    for (hash, change) in [(8, AccountChange::SetPassword(HASH.into())), (9, AccountChange::Disable)] {
        let session = fixture.session(hash).await;
        store.change_account(UserName::trusted("walker1"), change).await.unwrap();
        ended(session, "by an operator").await;
    }
    store.change_account(UserName::trusted("walker1"), AccountChange::Enable).await.unwrap();

    let session = fixture.session(10).await;
    assert_eq!(store.delete_account(user, HASH.into()).await.unwrap(), [session]);
    ended(session, "by the deletion of the account").await;
}

/// Entering a room waits for the room's lock. Nothing that concerns the user's sessions waits with it.
#[tokio::test]
async fn a_user_who_waits_to_enter_a_room_can_log_in_and_out() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let user = store.create_account(UserName::trusted("walker1"), HASH.into()).await.unwrap().id;
    let session = store.log_in(user).await;
    let fixture = Fixture { store, user };
    let holder = fixture.lock_rooms().await.unwrap();
    let store = &fixture.store;
    let caller = UserIdentity { user, user_name: UserName::trusted("walker1"), session };
    let (_, ()) = tokio::join!(store.join_room(&room, 0, &caller, None), async {
        store.waiting_for_locks(1).await;
        store.end_session(session, user).await.unwrap();
        store.log_in(user).await;
        holder.rollback().await.unwrap();
    });
}

async fn ending_a_session_ends_that_one_and_may_be_repeated(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let (one, other) = (fixture.session(1).await, fixture.session(2).await);
    for _ in 0..2 {
        fixture.store.end_session(one, fixture.user).await.unwrap();
        assert!(!fixture.is_alive(one).await && fixture.is_alive(other).await);
    }
}

async fn ended_sessions_are_found_among_any_number(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let (old, gone) = (fixture.session(1).await, fixture.session(2).await);
    fixture.store.end_session(gone, fixture.user).await.unwrap();
    fixture.advance(Duration::from_secs(60));
    let living = fixture.session(3).await;
    let mut ended: HashSet<SessionId> = (0..2_500).map(|_| SessionId(fixture.store.clock().uuid())).collect();
    ended.extend([old, gone]);
    let asked = ended.iter().copied().chain([living]).collect();
    assert_eq!(fixture.store.ended_sessions(asked).await.unwrap(), ended);
}

async fn a_user_cannot_end_the_session_of_another(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let session = fixture.session(1).await;
    fixture.store.end_session(session, UserId(fixture.user.0 + 1)).await.unwrap();
    assert!(fixture.is_alive(session).await);
}

async fn a_session_is_alive_until_it_expires(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let session = fixture.session(1).await;
    fixture.advance(Duration::from_secs(60) - Duration::from_micros(1));
    assert!(fixture.is_alive(session).await);
    fixture.advance(Duration::from_micros(1));
    assert!(!fixture.is_alive(session).await);
}

async fn expired_sessions_are_deleted(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    for hash in 1..6 {
        fixture.session(hash).await;
    }
    fixture.advance(Duration::from_secs(60));
    let young = fixture.session(6).await;
    // In several transactions.
    fixture.store.end_expired_sessions(2).await.unwrap();
    let left = session::Entity::find().all(fixture.store.reader()).await.unwrap();
    assert_eq!(left.into_iter().map(|row| row.id).collect::<Vec<_>>(), [young.0]);
    assert!(fixture.is_alive(young).await);
}

async fn a_disabled_account_has_no_living_session(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let session = fixture.session(1).await;
    account::Entity::update_many()
        .col_expr(account::Column::DisabledAt, Expr::value(1_i64))
        .filter(account::Column::Id.eq(fixture.user.0))
        .exec(&fixture.store.writer().unwrap())
        .await
        .unwrap();
    assert!(!fixture.is_alive(session).await);
    assert!(fixture.store.find_account(fixture.user).await.unwrap().is_none());
    let name = UserName::trusted("walker1");
    assert!(fixture.store.find_credentials(name).await.unwrap().is_none());
}

async fn a_password_that_was_changed_opens_no_session(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let kept = fixture.session(1).await;
    let other = fixture.session(2).await;
    let changed = fixture.store.change_password(fixture.user, HASH.into(), "new".into(), kept).await;
    assert_eq!(changed.unwrap(), [other]);
    assert!(fixture.is_alive(kept).await && !fixture.is_alive(other).await);
    let id = SessionId(fixture.store.clock().uuid());
    let new =
        NewSession { id, refresh_hash: vec![3; 32], lifetime: Duration::from_secs(60), max_sessions: None };
    let opened = fixture.store.open_session(fixture.user, HASH.into(), None, new).await;
    assert!(matches!(opened, Err(Error::InvalidCredentials)));
    let deleted = fixture.store.delete_account(fixture.user, HASH.into()).await;
    assert!(matches!(deleted, Err(Error::InvalidCredentials)));
}

async fn an_account_that_owns_rooms_cannot_be_deleted(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let owner = fixture.store.find_credentials(UserName::trusted("owner1")).await.unwrap().unwrap();
    let deleted = fixture.store.delete_account(owner.account.id, HASH.into()).await;
    assert!(matches!(deleted, Err(Error::OwnsRooms)));
    assert!(fixture.store.find_account(owner.account.id).await.unwrap().is_some());
}

async fn a_deleted_account_leaves_its_rooms(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let session = fixture.session(1).await;
    let ended = fixture.store.delete_account(fixture.user, HASH.into()).await.unwrap();
    assert_eq!(ended, [session]);
    assert!(!fixture.is_alive(session).await);
    let members = member::Entity::find().order_by_asc(member::Column::RoomId);
    let members = members.all(fixture.store.reader()).await.unwrap();
    assert!(members.iter().all(|member| !member.joined));
    let epochs: Vec<i64> = members.iter().map(|member| member.epoch).collect();
    assert!(epochs[0] == 0 && epochs[1..].iter().all(|epoch| *epoch == 1), "{epochs:?}");
}

use grpcchatter_entity::{member, room};
use sea_orm::{ActiveModelTrait as _, DatabaseTransaction, DbBackend, Statement, TransactionTrait as _};

use super::*;
use crate::{
    clock::Clock,
    model::{UserIdentity, UserName},
    store::{
        Sentence,
        temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
    },
};

on_each_database! {
    a_session_ends_in_every_way_and_touches_no_room,
    a_session_that_ends_is_one_and_ends_once,
    which_sessions_have_ended_is_known_of_any_number,
    nobody_ends_the_session_of_another,
    a_session_is_alive_until_its_time_is_over,
    sessions_whose_time_is_over_are_swept_up,
    a_disabled_account_has_no_living_session,
    a_password_that_changed_meanwhile_opens_nothing,
    an_account_that_owns_rooms_cannot_be_deleted,
    a_deleted_account_leaves_its_rooms,
}

const HASH: &str = "hash";

struct Fixture {
    store: TemporaryStore,
    user: UserId,
}

impl Fixture {
    /// A user who is in most of some rooms.
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

    async fn open_session(&self, hash: u8, most: Option<u32>) -> (SessionId, Vec<SessionId>) {
        let id = SessionId(self.store.clock().uuid());
        let new = NewSession { id, refresh_hash: vec![hash; 32], lives: Duration::from_secs(60), most };
        let (session, ended) = self.store.open_session(self.user, HASH.into(), None, new).await.unwrap();
        (session.id, ended)
    }

    /// Shows a refresh token that never was.
    async fn refresh(&self, session: SessionId) -> Refreshed {
        let (shown, next, lives) = (vec![98; 32], vec![99; 32], Duration::from_secs(60));
        let turn = Turn { session, generation: 0, shown, next, lives };
        self.store.refresh_session(turn).await.unwrap()
    }

    fn advance(&self, by: Duration) {
        let clock = self.store.clock();
        clock.set(clock.now() + by);
    }

    async fn is_alive(&self, session: SessionId) -> bool {
        self.store.session_is_alive(session, self.user).await.unwrap()
    }

    /// Locks every room for another transaction, where a database can lock a row.
    async fn hold_rooms(&self) -> Option<DatabaseTransaction> {
        if self.store.backend() == DbBackend::Sqlite {
            return None;
        }
        let holder = self.store.beside().await.writer().unwrap().begin().await.unwrap();
        holder.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0").await.unwrap();
        room::Entity::find().lock_exclusive().all(&holder).await.unwrap();
        Some(holder)
    }

    /// Tells the rooms, and of PostgreSQL which transactions have written or locked them.
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

/// However many rooms its user is in, and whoever holds them.
async fn a_session_ends_in_every_way_and_touches_no_room(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let Fixture { store, user } = &fixture;
    let user = *user;
    let _holder = fixture.hold_rooms().await;
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
    ended(session, "by a token that was used").await;

    let session = fixture.session(4).await;
    fixture.advance(Duration::from_secs(60));
    assert!(matches!(fixture.refresh(session).await, Refreshed::Expired(of) if of == user));
    ended(session, "by a token that is too old").await;

    let session = fixture.session(5).await;
    fixture.advance(Duration::from_secs(60));
    store.end_expired_sessions(100).await.unwrap();
    ended(session, "by its time").await;

    let (kept, session) = (fixture.session(6).await, fixture.session(7).await);
    assert_eq!(store.change_password(user, HASH.into(), HASH.into(), kept).await.unwrap(), [session]);
    ended(session, "by a new password").await;

    for (hash, sentence) in [(8, Sentence::NewPassword(HASH.into())), (9, Sentence::Disable)] {
        let session = fixture.session(hash).await;
        store.sentence(UserName::trusted("walker1"), sentence).await.unwrap();
        ended(session, "by an operator").await;
    }
    store.sentence(UserName::trusted("walker1"), Sentence::Enable).await.unwrap();

    let session = fixture.session(10).await;
    assert_eq!(store.delete_account(user, HASH.into()).await.unwrap(), [session]);
    ended(session, "by the deletion of the account").await;
}

/// Entering a room waits for whoever holds it. Nothing about the user's sessions waits with it.
#[tokio::test]
async fn while_somebody_waits_to_enter_a_room_they_log_in_and_out() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let user = store.create_account(UserName::trusted("walker1"), HASH.into()).await.unwrap().id;
    let session = store.log_in(user).await;
    let fixture = Fixture { store, user };
    let holder = fixture.hold_rooms().await.unwrap();
    let store = &fixture.store;
    let caller = UserIdentity { user, user_name: UserName::trusted("walker1"), session };
    let (_, ()) = tokio::join!(store.join_room(&room, 0, &caller, None), async {
        store.waiting(1).await;
        store.end_session(session, user).await.unwrap();
        store.log_in(user).await;
        holder.rollback().await.unwrap();
    });
}

async fn a_session_that_ends_is_one_and_ends_once(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let (one, other) = (fixture.session(1).await, fixture.session(2).await);
    for _ in 0..2 {
        fixture.store.end_session(one, fixture.user).await.unwrap();
        assert!(!fixture.is_alive(one).await && fixture.is_alive(other).await);
    }
}

async fn which_sessions_have_ended_is_known_of_any_number(database: TemporaryDatabase) {
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

async fn nobody_ends_the_session_of_another(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let session = fixture.session(1).await;
    fixture.store.end_session(session, UserId(fixture.user.0 + 1)).await.unwrap();
    assert!(fixture.is_alive(session).await);
}

async fn a_session_is_alive_until_its_time_is_over(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let session = fixture.session(1).await;
    fixture.advance(Duration::from_secs(60) - Duration::from_micros(1));
    assert!(fixture.is_alive(session).await);
    fixture.advance(Duration::from_micros(1));
    assert!(!fixture.is_alive(session).await);
}

async fn sessions_whose_time_is_over_are_swept_up(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    for hash in 1..6 {
        fixture.session(hash).await;
    }
    fixture.advance(Duration::from_secs(60));
    let young = fixture.session(6).await;
    // Fewer at once than there are.
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

async fn a_password_that_changed_meanwhile_opens_nothing(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let kept = fixture.session(1).await;
    let other = fixture.session(2).await;
    let changed = fixture.store.change_password(fixture.user, HASH.into(), "new".into(), kept).await;
    assert_eq!(changed.unwrap(), [other]);
    assert!(fixture.is_alive(kept).await && !fixture.is_alive(other).await);
    let id = SessionId(fixture.store.clock().uuid());
    let new = NewSession { id, refresh_hash: vec![3; 32], lives: Duration::from_secs(60), most: None };
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

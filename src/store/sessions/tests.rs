use sea_orm::ActiveModelTrait as _;

use super::*;
use crate::{
    clock::Clock,
    model::UserName,
    store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
};

on_each_database! {
    ending_a_session_makes_the_rooms_that_its_user_is_in_look_again,
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
    rooms: Vec<RoomId>,
}

impl Fixture {
    /// A user with a session who entered the first two of three rooms and left the second.
    async fn open(database: TemporaryDatabase) -> Self {
        let store =
            TemporaryStore::open(database, Clock::manual(Timestamp::from_seconds(1_800_000_000))).await;
        let owner = store.create_account(UserName::trusted("owner1"), HASH.into()).await.unwrap().id;
        let user = store.create_account(UserName::trusted("walker1"), HASH.into()).await.unwrap().id;
        let mut rooms = Vec::new();
        for (code, joined) in [("aaaaaa", Some(true)), ("bbbbbb", Some(false)), ("cccccc", None)] {
            let room = room::ActiveModel {
                short_code: Set(code.into()),
                name: Set(String::new()),
                owner_id: Set(owner.0),
                created_at: Set(0),
                active_at: Set(0),
                ..Default::default()
            };
            let room = RoomId(room.insert(store.writer().unwrap()).await.unwrap().id);
            rooms.push(room);
            if let Some(joined) = joined {
                let member = member::ActiveModel {
                    room_id: Set(room.0),
                    user_id: Set(user.0),
                    joined: Set(joined),
                    banned: Set(false),
                    epoch: Set(0),
                    room_epoch: Set(0),
                    chat_from: Set(None),
                    last_join: Set(0),
                };
                member.insert(store.writer().unwrap()).await.unwrap();
            }
        }
        Self { store, user, rooms }
    }

    async fn session(&self, hash: u8) -> SessionId {
        let id = SessionId(self.store.clock().uuid());
        let new = NewSession { id, refresh_hash: vec![hash; 32], lives: Duration::from_secs(60), most: None };
        self.store.open_session(self.user, HASH.into(), None, new).await.unwrap().0.id
    }

    async fn members_epochs(&self) -> Vec<i64> {
        let rooms = room::Entity::find().order_by_asc(room::Column::Id).all(self.store.reader()).await;
        rooms.unwrap().into_iter().map(|room| room.members_epoch).collect()
    }

    async fn is_alive(&self, session: SessionId) -> bool {
        self.store.session_is_alive(session, self.user).await.unwrap()
    }
}

async fn ending_a_session_makes_the_rooms_that_its_user_is_in_look_again(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let (one, other) = (fixture.session(1).await, fixture.session(2).await);
    let rooms = fixture.store.end_session(one, fixture.user).await.unwrap();
    assert_eq!(rooms, fixture.rooms[..1]);
    assert_eq!(fixture.members_epochs().await, [1, 0, 0]);
    assert!(!fixture.is_alive(one).await && fixture.is_alive(other).await);
    assert!(fixture.store.end_session(one, fixture.user).await.unwrap().is_empty());
    assert_eq!(fixture.members_epochs().await, [1, 0, 0]);
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
    let clock = fixture.store.clock();
    clock.set(clock.now() + Duration::from_secs(60) - Duration::from_micros(1));
    assert!(fixture.is_alive(session).await);
    clock.set(clock.now() + Duration::from_micros(1));
    assert!(!fixture.is_alive(session).await);
}

async fn sessions_whose_time_is_over_are_swept_up(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let old = fixture.session(1).await;
    let clock = fixture.store.clock();
    clock.set(clock.now() + Duration::from_secs(60));
    let young = fixture.session(2).await;
    assert_eq!(fixture.store.end_expired_sessions().await.unwrap(), fixture.rooms[..1]);
    assert_eq!(fixture.members_epochs().await, [1, 0, 0]);
    assert!(session::Entity::find_by_id(old.0).one(fixture.store.reader()).await.unwrap().is_none());
    assert!(fixture.is_alive(young).await);
    assert!(fixture.store.end_expired_sessions().await.unwrap().is_empty());
}

async fn a_disabled_account_has_no_living_session(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let session = fixture.session(1).await;
    account::Entity::update_many()
        .col_expr(account::Column::DisabledAt, Expr::value(1_i64))
        .filter(account::Column::Id.eq(fixture.user.0))
        .exec(fixture.store.writer().unwrap())
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
    assert_eq!(changed.unwrap(), fixture.rooms[..1]);
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
    let rooms = fixture.store.delete_account(fixture.user, HASH.into()).await.unwrap();
    assert_eq!(rooms, fixture.rooms[..1]);
    assert!(!fixture.is_alive(session).await);
    let members = member::Entity::find().order_by_asc(member::Column::RoomId);
    let members = members.all(fixture.store.reader()).await.unwrap();
    assert!(members.iter().all(|member| !member.joined));
    assert_eq!(members.iter().map(|member| member.epoch).collect::<Vec<_>>(), [1, 0]);
}

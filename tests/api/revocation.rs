//! Revocation: whatever takes a token's authority away ends its open streams within five seconds, and the token
//! opens nothing any more, on any method, in any dialect.

use std::time::Duration;

use grpcchatter_proto::v1::{
    DeleteChatRoomRequest, RemoveChatRoomUserRequest, UpdateChatRoomRequest, subscribe_response::Event,
};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{
    Caller, Chat, Connection, Database, Dialect, Kind, METHODS, Member, PASSWORD, Refused as _, Room,
    Subscription, TestApp, User, blamed_on_the_token, on_each_database, promised,
};

on_each_database! {
    removing_somebody_ends_what_they_have_open,
    banning_somebody_ends_what_they_have_open,
    a_new_room_password_ends_all_but_the_owners,
    logging_out_ends_what_the_session_has_open,
    a_new_account_password_ends_the_other_sessions,
    deleting_an_account_ends_what_it_has_open,
    deleting_a_room_ends_what_is_open_in_it,
    whoever_was_removed_hears_nothing_of_what_is_said_after,
}

/// How soon the streams of a token that was revoked must have ended.
const SOON: Duration = Duration::from_secs(5);

/// A room, its owner, and a guest with a stream of each sort.
struct Scene {
    owner: User,
    guest: User,
    room: Room,
    member: Member,
    streams: Vec<Subscription>,
    chat: Chat,
}

impl Scene {
    async fn of(app: &TestApp) -> Self {
        let (owner, guest) = (app.user().await, app.user().await);
        let room = owner.create_room().await;
        let member = guest.join(&room).await;
        let mut streams = Vec::new();
        for dialect in Dialect::ALL {
            streams.push(member.speaking(dialect).subscribe(None).await.unwrap());
        }
        let chat = member.elsewhere().chat().await.unwrap();
        Self { owner, guest, room, member, streams, chat }
    }

    fn removal(&self, ban: bool) -> RemoveChatRoomUserRequest {
        let (short_code, user_name) = (self.room.short_code.clone(), self.guest.name.clone());
        RemoveChatRoomUserRequest { short_code, user_name, ban }
    }

    /// Checks that the streams end soon with this status, and that the token opens no method.
    async fn assert_over(self, code: Code, reason: &'static str) {
        let ends = async {
            for stream in self.streams {
                stream.end().await.refused(code, reason);
            }
            self.chat.end().await.refused(code, reason);
        };
        promised("the end of the streams", SOON, ends).await;
        opens_nothing(&self.member, Kind::Chat, code, reason).await;
    }
}

/// Checks that a token is refused on every method that takes its kind.
async fn opens_nothing(caller: &Caller, kind: Kind, code: Code, reason: &'static str) {
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(caller.address, dialect.version()).await;
        for (path, _) in METHODS.into_iter().filter(|(_, takes)| *takes == kind) {
            println!("{path} in {dialect:?}");
            let outcome = dialect.call(&mut connection, path, &[("token", caller.token())], &()).await;
            let (code, reason) = blamed_on_the_token(dialect, path, code, reason);
            outcome.refused(code, reason);
        }
    }
}

async fn removing_somebody_ends_what_they_have_open(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    scene.owner.call(scene.removal(false)).await.unwrap();
    scene.assert_over(Code::PermissionDenied, "NOT_A_MEMBER").await;
}

async fn banning_somebody_ends_what_they_have_open(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    scene.owner.call(scene.removal(true)).await.unwrap();
    scene.assert_over(Code::PermissionDenied, "BANNED").await;
}

async fn a_new_room_password_ends_all_but_the_owners(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let member = scene.owner.join(&scene.room).await;
    let mut watching = member.subscribe(None).await.unwrap();
    let (short_code, room_password) = (scene.room.short_code.clone(), Some("an0ther".to_owned()));
    scene.owner.call(UpdateChatRoomRequest { short_code, room_password, room_name: None }).await.unwrap();
    scene.assert_over(Code::Unauthenticated, "TOKEN_REVOKED").await;
    let said = member.say("still here").await;
    assert_eq!(watching.message().await, said);
}

async fn logging_out_ends_what_the_session_has_open(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let other = scene.guest.log_in_again().await.join(&scene.room).await;
    let mut watching = other.subscribe(None).await.unwrap();
    let guest = scene.guest.clone();
    assert_eq!(guest.rest("POST", "/logout", Value::Null).await.status, 204);
    scene.assert_over(Code::Unauthenticated, "TOKEN_REVOKED").await;
    opens_nothing(&guest, Kind::User, Code::Unauthenticated, "TOKEN_REVOKED").await;
    let said = other.say("from the other session").await;
    assert_eq!(watching.message().await, said);
}

async fn a_new_account_password_ends_the_other_sessions(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let here = scene.guest.log_in_again().await;
    let change = json!({"password": PASSWORD, "new_password": "cAnary-0ther-Pass!"});
    assert_eq!(here.rest("PUT", "/account/password", change).await.status, 204);
    let guest = scene.guest.clone();
    scene.assert_over(Code::Unauthenticated, "TOKEN_REVOKED").await;
    opens_nothing(&guest, Kind::User, Code::Unauthenticated, "TOKEN_REVOKED").await;
    assert_eq!(here.rest("GET", "/account", Value::Null).await.status, 200);
}

async fn deleting_an_account_ends_what_it_has_open(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let answer = scene.guest.rest("DELETE", "/account", json!({"password": PASSWORD})).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    scene.assert_over(Code::Unauthenticated, "TOKEN_REVOKED").await;
}

async fn deleting_a_room_ends_what_is_open_in_it(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let short_code = scene.room.short_code.clone();
    scene.owner.call(DeleteChatRoomRequest { short_code }).await.unwrap();
    scene.assert_over(Code::NotFound, "ROOM_NOT_FOUND").await;
}

async fn whoever_was_removed_hears_nothing_of_what_is_said_after(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let member = scene.owner.join(&scene.room).await;
    scene.owner.call(scene.removal(false)).await.unwrap();
    member.say("a secret").await;
    for stream in scene.streams {
        let (events, status) = stream.rest().await;
        assert!(!events.iter().any(|event| matches!(event, Event::Message(_))), "{events:?}");
        status.refused(Code::PermissionDenied, "NOT_A_MEMBER");
    }
}

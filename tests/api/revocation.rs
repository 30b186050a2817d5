//! Revocation: everything that revokes a token ends its open streams within 5 s, and every method refuses the token in every dialect.

use std::time::Duration;

use grpcchatter_proto::v1::{
    DeleteChatRoomRequest, RemoveChatRoomUserRequest, UpdateChatRoomRequest, subscribe_response::Event,
};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{
    Caller, Chat, Connection, Database, Dialect, Kind, METHODS, Member, PASSWORD, Refused as _, Room,
    Subscription, TestApp, User, on_each_database, promised, token_refusal,
};

on_each_database! {
    removing_a_user_ends_their_streams,
    banning_a_user_ends_their_streams,
    a_new_room_password_ends_all_streams_but_the_owners,
    logging_out_ends_the_streams_of_the_session,
    a_new_account_password_ends_the_streams_of_other_sessions,
    deleting_an_account_ends_its_streams,
    deleting_a_room_ends_its_streams,
    a_removed_user_gets_no_later_messages,
}

/// Within this time the streams of a revoked token end.
const NOTICE_DEADLINE: Duration = Duration::from_secs(5);

/// A room, its owner, and a guest with a stream of each kind.
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
            streams.push(member.with_dialect(dialect).subscribe(None).await.unwrap());
        }
        let chat = member.on_new_connection().chat().await.unwrap();
        Self { owner, guest, room, member, streams, chat }
    }

    fn removal(&self, ban: bool) -> RemoveChatRoomUserRequest {
        let (short_code, user_name) = (self.room.short_code.clone(), self.guest.name.clone());
        RemoveChatRoomUserRequest { short_code, user_name, ban }
    }

    /// Checks that the streams end in time with this status, and that every method refuses the token.
    async fn assert_revoked(self, code: Code, reason: &'static str) {
        let ends = async {
            for stream in self.streams {
                stream.end().await.refused(code, reason);
            }
            self.chat.end().await.refused(code, reason);
        };
        promised("the end of the streams", NOTICE_DEADLINE, ends).await;
        assert_refused_everywhere(&self.member, Kind::Chat, code, reason).await;
    }
}

/// Checks that every method that takes this kind of token refuses it.
async fn assert_refused_everywhere(caller: &Caller, kind: Kind, code: Code, reason: &'static str) {
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(caller.address, dialect.version()).await;
        for (path, _) in METHODS.into_iter().filter(|(_, takes)| *takes == kind) {
            println!("{path} in {dialect:?}");
            let outcome = dialect.call(&mut connection, path, &[("token", caller.token())], &()).await;
            let (code, reason) = token_refusal(dialect, path, code, reason);
            outcome.refused(code, reason);
        }
    }
}

async fn removing_a_user_ends_their_streams(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    scene.owner.call(scene.removal(false)).await.unwrap();
    scene.assert_revoked(Code::PermissionDenied, "NOT_A_MEMBER").await;
}

async fn banning_a_user_ends_their_streams(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    scene.owner.call(scene.removal(true)).await.unwrap();
    scene.assert_revoked(Code::PermissionDenied, "BANNED").await;
}

async fn a_new_room_password_ends_all_streams_but_the_owners(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let member = scene.owner.join(&scene.room).await;
    let mut watching = member.subscribe(None).await.unwrap();
    let (short_code, room_password) = (scene.room.short_code.clone(), Some("an0ther".to_owned()));
    scene.owner.call(UpdateChatRoomRequest { short_code, room_password, room_name: None }).await.unwrap();
    scene.assert_revoked(Code::Unauthenticated, "TOKEN_REVOKED").await;
    let said = member.say("still here").await;
    assert_eq!(watching.message().await, said);
}

async fn logging_out_ends_the_streams_of_the_session(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let other = scene.guest.log_in_again().await.join(&scene.room).await;
    let mut watching = other.subscribe(None).await.unwrap();
    let guest = scene.guest.clone();
    assert_eq!(guest.rest("POST", "/logout", Value::Null).await.status, 204);
    scene.assert_revoked(Code::Unauthenticated, "TOKEN_REVOKED").await;
    assert_refused_everywhere(&guest, Kind::User, Code::Unauthenticated, "TOKEN_REVOKED").await;
    let said = other.say("from the other session").await;
    assert_eq!(watching.message().await, said);
}

async fn a_new_account_password_ends_the_streams_of_other_sessions(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let here = scene.guest.log_in_again().await;
    let change = json!({"password": PASSWORD, "new_password": "cAnary-0ther-Pass!"});
    assert_eq!(here.rest("PUT", "/account/password", change).await.status, 204);
    let guest = scene.guest.clone();
    scene.assert_revoked(Code::Unauthenticated, "TOKEN_REVOKED").await;
    assert_refused_everywhere(&guest, Kind::User, Code::Unauthenticated, "TOKEN_REVOKED").await;
    assert_eq!(here.rest("GET", "/account", Value::Null).await.status, 200);
}

async fn deleting_an_account_ends_its_streams(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let answer = scene.guest.rest("DELETE", "/account", json!({"password": PASSWORD})).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    scene.assert_revoked(Code::Unauthenticated, "TOKEN_REVOKED").await;
}

async fn deleting_a_room_ends_its_streams(database: Database) {
    let app = TestApp::start(&database).await;
    let scene = Scene::of(&app).await;
    let short_code = scene.room.short_code.clone();
    scene.owner.call(DeleteChatRoomRequest { short_code }).await.unwrap();
    scene.assert_revoked(Code::NotFound, "ROOM_NOT_FOUND").await;
}

async fn a_removed_user_gets_no_later_messages(database: Database) {
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

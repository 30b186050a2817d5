//! One password, however a keyboard writes it: in the form of RFC 8265, and where a hash is older, as it was typed then.

use grpcchatter_proto::v1::{JoinChatRoomRequest, UpdateChatRoomRequest};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

use crate::{
    accounts::{log_in, register},
    harness::{
        Database, Dialect, PASSWORD, Process, Refused as _, Room, TestApp, User, new_name, on_each_database,
    },
};

on_each_database! {
    an_account_s_password_is_one_in_every_spelling,
    an_account_s_older_hash_opens_as_it_was_typed_and_is_made_anew,
    a_room_s_password_is_one_in_every_spelling,
    a_room_s_older_hash_opens_as_it_was_typed_and_is_made_anew,
    an_operator_s_password_is_one_in_every_spelling,
}

/// One password: composed; decomposed, as some systems write it; with another blank.
const SPELLINGS: [&str; 3] =
    ["cAnary Cr\u{e8}me-1!", "cAnary Cre\u{300}me-1!", "cAnary\u{a0}Cre\u{300}me-1!"];

/// Reads a stored hash.
async fn hash(operator: &DatabaseConnection, table: &str) -> String {
    let query = format!("SELECT password_hash FROM {table}");
    let statement = Statement::from_string(operator.get_database_backend(), query);
    operator.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// Stores a hash of the text as it is, which an older version or the original has made.
async fn store_older(operator: &DatabaseConnection, table: &str, password: &str) {
    let hash = bcrypt::hash(password, 4).unwrap();
    operator.execute_unprepared(&format!("UPDATE {table} SET password_hash = '{hash}'")).await.unwrap();
}

async fn an_account_s_password_is_one_in_every_spelling(database: Database) {
    let app = TestApp::start(&database).await;
    for set in SPELLINGS {
        let name = new_name();
        assert_eq!(register(&app, &name, set).await.status, 200);
        for given in SPELLINGS {
            assert_eq!(log_in(&app, &name, given).await.status, 200, "{given:?} for {set:?}");
        }
        assert_eq!(
            log_in(&app, &name, "cAnary Creme-1!").await.status,
            401,
            "without its accent it is another"
        );
        let user = User::log_in(&app.anonymous(), &name, SPELLINGS[0]).await;
        for [old, new] in [[SPELLINGS[1], PASSWORD], [PASSWORD, SPELLINGS[2]]] {
            let change = json!({"password": old, "new_password": new});
            let answer = user.rest("PUT", "/account/password", change).await;
            assert_eq!(answer.status, 204, "{answer:?}");
        }
        assert_eq!(log_in(&app, &name, SPELLINGS[0]).await.status, 200);
    }
}

async fn an_account_s_older_hash_opens_as_it_was_typed_and_is_made_anew(database: Database) {
    let app = TestApp::start(&database).await;
    let (user, operator) = (app.user().await, app.operator(&database).await);
    store_older(&operator, "accounts", SPELLINGS[2]).await;
    assert_eq!(log_in(&app, &user.name, SPELLINGS[1]).await.status, 401, "it was typed otherwise");
    assert_eq!(log_in(&app, &user.name, SPELLINGS[2]).await.status, 200);
    assert!(hash(&operator, "accounts").await.starts_with("$argon2id$"));
    for spelling in SPELLINGS {
        assert_eq!(log_in(&app, &user.name, spelling).await.status, 200, "{spelling:?}");
    }
    operator.close().await.unwrap();
}

fn join(room: &Room, password: &str) -> JoinChatRoomRequest {
    Room { password: password.to_owned(), ..room.clone() }.join_request()
}

async fn a_room_s_password_is_one_in_every_spelling(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let mut room = owner.create_room_with(SPELLINGS[1]).await;
    for dialect in Dialect::ALL {
        for given in SPELLINGS {
            let stranger = app.user().await;
            let caller = stranger.speaking(dialect);
            caller
                .call(join(&room, "cAnary Creme-1!"))
                .await
                .refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
            caller.call(join(&room, given)).await.unwrap();
        }
        let update = UpdateChatRoomRequest {
            short_code: room.short_code.clone(),
            room_name: None,
            room_password: Some(SPELLINGS[2].to_owned()),
        };
        owner.speaking(dialect).call(update).await.unwrap();
        room.password = SPELLINGS[2].to_owned();
    }
}

async fn a_room_s_older_hash_opens_as_it_was_typed_and_is_made_anew(database: Database) {
    let app = TestApp::start(&database).await;
    let operator = app.operator(&database).await;
    let owner = app.user().await;
    let room = owner.create_room_with(SPELLINGS[0]).await;
    let inside = owner.join(&room).await;
    store_older(&operator, "rooms", SPELLINGS[1]).await;
    let stranger = app.user().await;
    stranger.call(join(&room, SPELLINGS[2])).await.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
    stranger.call(join(&room, SPELLINGS[1])).await.unwrap();
    assert!(hash(&operator, "rooms").await.starts_with("$argon2id$"));
    for spelling in SPELLINGS {
        app.user().await.call(join(&room, spelling)).await.unwrap();
    }
    inside.say("nobody was put out").await;
    operator.close().await.unwrap();
}

async fn an_operator_s_password_is_one_in_every_spelling(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let name = new_name();
    let (code, _, told) = Process::command(&database, &folder, &["user", "add", &name], SPELLINGS[2]).await;
    assert_eq!(code, 0, "{told}");
    for spelling in SPELLINGS {
        let user = User::log_in(&server.anonymous(), &name, spelling).await;
        assert_eq!(user.rest("GET", "/account", Value::Null).await.status, 200);
    }
    server.kill().await;
}

//! A password in any Unicode form is one password: it is normalised by RFC 8265. An older hash accepts the form that was typed then.

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
    all_spellings_of_an_account_password_are_one,
    an_older_account_hash_accepts_the_typed_form_and_is_replaced,
    all_spellings_of_a_room_password_are_one,
    an_older_room_hash_accepts_the_typed_form_and_is_replaced,
    all_spellings_of_an_operators_password_are_one,
}

/// One password: composed; decomposed, as some systems write it; decomposed with a no-break space.
const SPELLINGS: [&str; 3] =
    ["cAnary Cr\u{e8}me-1!", "cAnary Cre\u{300}me-1!", "cAnary\u{a0}Cre\u{300}me-1!"];

/// Reads a stored hash.
async fn hash(operator: &DatabaseConnection, table: &str) -> String {
    let query = format!("SELECT password_hash FROM {table}");
    let statement = Statement::from_string(operator.get_database_backend(), query);
    operator.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// Stores a hash of the text without normalisation, as older versions and the original did.
async fn store_older(operator: &DatabaseConnection, table: &str, password: &str) {
    let hash = bcrypt::hash(password, 4).unwrap();
    operator.execute_unprepared(&format!("UPDATE {table} SET password_hash = '{hash}'")).await.unwrap();
}

async fn all_spellings_of_an_account_password_are_one(database: Database) {
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
            "without its accent it is another password"
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

async fn an_older_account_hash_accepts_the_typed_form_and_is_replaced(database: Database) {
    let app = TestApp::start(&database).await;
    let (user, operator) = (app.user().await, app.operator(&database).await);
    store_older(&operator, "accounts", SPELLINGS[2]).await;
    assert_eq!(log_in(&app, &user.name, SPELLINGS[1]).await.status, 401, "another form was typed");
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

async fn all_spellings_of_a_room_password_are_one(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let mut room = owner.create_room_with(SPELLINGS[1]).await;
    for dialect in Dialect::ALL {
        for given in SPELLINGS {
            let stranger = app.user().await;
            let caller = stranger.with_dialect(dialect);
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
        owner.with_dialect(dialect).call(update).await.unwrap();
        room.password = SPELLINGS[2].to_owned();
    }
}

async fn an_older_room_hash_accepts_the_typed_form_and_is_replaced(database: Database) {
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

async fn all_spellings_of_an_operators_password_are_one(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let name = new_name();
    let (code, _, stderr) = Process::command(&database, &folder, &["user", "add", &name], SPELLINGS[2]).await;
    assert_eq!(code, 0, "{stderr}");
    for spelling in SPELLINGS {
        let user = User::log_in(&server.anonymous(), &name, spelling).await;
        assert_eq!(user.rest("GET", "/account", Value::Null).await.status, 200);
    }
    server.kill().await;
}

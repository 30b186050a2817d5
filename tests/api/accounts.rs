//! Accounts and sessions over REST, including the answers that are the same as the original's.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Answer, Database, PASSWORD, TestApp, User, new_name, on_each_database};

on_each_database! {
    registering_answers_as_the_original_did,
    registering_ignores_the_case_of_json_keys_and_unknown_keys,
    a_name_is_registered_only_once,
    user_names_follow_the_originals_rule,
    passwords_follow_the_originals_rule_up_to_128_bytes,
    the_name_is_checked_before_the_password,
    a_body_that_is_not_the_expected_json_is_refused,
    a_body_over_16_kib_is_refused,
    logging_in_gives_a_token_and_a_session,
    wrong_credentials_are_refused_alike,
    refreshing_rotates_the_session,
    the_previous_refresh_token_gets_the_same_answer_within_30_seconds,
    two_refreshes_at_once_get_the_same_answer,
    logging_out_ends_only_its_session,
    a_new_password_ends_the_other_sessions,
    a_new_password_needs_the_old_one_and_has_to_follow_the_rule,
    the_account_is_shown_to_its_owner,
    deleting_an_account_needs_its_password,
    an_account_that_owns_rooms_cannot_be_deleted,
    a_deleted_accounts_name_can_be_registered_again,
    of_two_registrations_of_one_name_at_once_one_succeeds,
}

const BAD_NAME: &str = "Invalid request body:user name must must not be empty and have at least 6 characters, \
    including digits";
const BAD_PASSWORD: &str = "Invalid request body:password must not be empty and must have at least 6 characters, \
    including 1 uppercase letter, 1 lowercase letter, 1 digit and 1 special character";
pub(crate) const TAKEN: &str = "Invalid request body:user with the provided user name already exists";
pub(crate) const UNAUTHORIZED: &str = "Unauthorized:invalid credentials";

/// Checks the status, the reason and the body of a refusal.
#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), &body["reason"]), (status, &json!(reason)), "{answer:?}");
    assert!(body["error"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    assert!(answer.header("content-type").starts_with("application/json"), "{answer:?}");
}

/// Checks a refusal that has the original's sentence.
#[track_caller]
pub(crate) fn assert_sentence(answer: &Answer, status: u16, reason: &str, sentence: &str) {
    assert_refused(answer, status, reason);
    assert_eq!(answer.json()["error"], sentence);
}

fn credentials(name: &str, password: &str) -> Value {
    json!({"user_name": name, "password": password})
}

pub(crate) async fn register(app: &TestApp, name: &str, password: &str) -> Answer {
    app.anonymous().rest("POST", "/register", credentials(name, password)).await
}

pub(crate) async fn log_in(app: &TestApp, name: &str, password: &str) -> Answer {
    app.anonymous().rest("POST", "/login", credentials(name, password)).await
}

async fn refresh(app: &TestApp, refresh_token: &str) -> Answer {
    app.anonymous().rest("POST", "/refresh", json!({"refresh_token": refresh_token})).await
}

async fn change_password(user: &User, password: &str, new_password: &str) -> Answer {
    user.rest("PUT", "/account/password", json!({"password": password, "new_password": new_password})).await
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

async fn registering_answers_as_the_original_did(database: Database) {
    let app = TestApp::start(&database).await;
    let name = new_name();
    let answer = register(&app, &name, PASSWORD).await;
    assert_eq!(answer.status, 200, "not 201: the original's client accepts only 200");
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert_eq!(keys(&body), BTreeSet::from(["created_at", "id", "role", "user_name"]));
    assert_eq!((&body["id"], &body["user_name"], &body["role"]), (&json!(1), &json!(name), &json!("USER")));
    let created_at = body["created_at"].as_str().unwrap();
    assert!(is_rfc3339_in_utc(created_at), "{created_at}");
}

/// Such as `2026-11-22T18:41:05.326528Z`, with 0 to 6 decimals.
fn is_rfc3339_in_utc(text: &str) -> bool {
    let parsed = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
    parsed.is_ok() && text.ends_with('Z') && text.len() <= "2026-11-22T18:41:05.326528Z".len()
}

async fn registering_ignores_the_case_of_json_keys_and_unknown_keys(database: Database) {
    let app = TestApp::start(&database).await;
    let name = new_name();
    let body = json!({"USER_NAME": name, "Password": PASSWORD, "role": "ADMIN", "more": [1, {}]});
    let answer = app.anonymous().rest("POST", "/register", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["user_name"], name);
    assert_eq!(answer.json()["role"], "USER");
}

async fn a_name_is_registered_only_once(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    assert_sentence(&register(&app, &user.name, PASSWORD).await, 400, "USER_NAME_TAKEN", TAKEN);
}

async fn user_names_follow_the_originals_rule(database: Database) {
    let app = TestApp::start(&database).await;
    for good in ["walke1", "a b-c=1|\"", "éé12", &"9".repeat(255), &"é1".repeat(127)] {
        let answer = register(&app, good, PASSWORD).await;
        assert_eq!(answer.status, 200, "{good}: {answer:?}");
    }
    for bad in ["", "walk1", "walker", "walker_1", "wal/ker1", "nul\0byte1", &"9".repeat(256)] {
        assert_sentence(&register(&app, bad, PASSWORD).await, 400, "INVALID_USER_NAME", BAD_NAME);
    }
    for bad in [json!({}), Value::String("x".into()), json!({"password": PASSWORD})] {
        let answer = app.anonymous().rest("POST", "/register", bad.clone()).await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
    }
}

async fn passwords_follow_the_originals_rule_up_to_128_bytes(database: Database) {
    let app = TestApp::start(&database).await;
    let longest = format!("Aa1!{}", "x".repeat(124));
    for good in ["aA1?bc", "Aa1! with spaces é", &longest] {
        let name = new_name();
        assert_eq!(register(&app, &name, good).await.status, 200, "{good}");
        assert_eq!(log_in(&app, &name, good).await.status, 200, "{good}");
    }
    let too_long = format!("{longest}x");
    for bad in ["", "aA1?b", "password1!", "PASSWORD1!", "Password!", "Password1", "nul\0Byte1!", &too_long] {
        assert_sentence(&register(&app, &new_name(), bad).await, 400, "INVALID_PASSWORD", BAD_PASSWORD);
    }
}

async fn the_name_is_checked_before_the_password(database: Database) {
    let app = TestApp::start(&database).await;
    assert_sentence(&register(&app, "bad", "bad").await, 400, "INVALID_USER_NAME", BAD_NAME);
}

async fn a_body_that_is_not_the_expected_json_is_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let calls = [
        ("POST", "/register"),
        ("POST", "/login"),
        ("POST", "/refresh"),
        ("PUT", "/account/password"),
        ("DELETE", "/account"),
    ];
    let broken: [&[u8]; 8] = [
        b"",
        b"{",
        b"not json",
        b"[]",
        b"{} {}",
        b"{\"user_name\":5,\"password\":5,\"refresh_token\":5}",
        b"\"x\"",
        b"\xff",
    ];
    for (method, path) in calls {
        for body in broken {
            let answer = user.rest_bytes(method, path, body).await;
            assert_refused(&answer, 400, "INVALID_JSON");
        }
    }
    let answer = app.anonymous().rest_bytes("POST", "/login", b"{\"user_name\":5}").await;
    assert_eq!(answer.json()["error"], "Invalid request body");
}

async fn a_body_over_16_kib_is_refused(database: Database) {
    let app = TestApp::start(&database).await;
    let body = credentials(&new_name(), &"x".repeat(16 << 10));
    assert_refused(&app.anonymous().rest("POST", "/register", body).await, 413, "TOO_LARGE");
}

async fn logging_in_gives_a_token_and_a_session(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let answer = log_in(&app, &user.name, PASSWORD).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!(keys(&body), BTreeSet::from(["expires_at", "refresh_token", "token"]));
    assert!(is_rfc3339_in_utc(body["expires_at"].as_str().unwrap()), "{body}");
    assert_eq!(body["token"].as_str().unwrap().split('.').count(), 3, "a JWT");
    assert_ne!(body["refresh_token"], user.refresh_token);
}

async fn wrong_credentials_are_refused_alike(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let unknown = new_name();
    let long = "x".repeat(2000);
    for (name, password) in [
        (&*user.name, "Wr0ng-password!"),
        (&*user.name, ""),
        (&*unknown, PASSWORD),
        ("", ""),
        ("nul\0", "nul\0"),
        (&*long, &*long),
    ] {
        assert_sentence(&log_in(&app, name, password).await, 401, "INVALID_CREDENTIALS", UNAUTHORIZED);
    }
    let nothing = app.anonymous().rest("POST", "/login", json!({})).await;
    assert_sentence(&nothing, 401, "INVALID_CREDENTIALS", UNAUTHORIZED);
}

async fn refreshing_rotates_the_session(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let mut token = user.refresh_token.clone();
    for _ in 0..3 {
        let answer = refresh(&app, &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        assert_eq!(keys(&body), BTreeSet::from(["expires_at", "refresh_token", "token"]));
        let next = body["refresh_token"].as_str().unwrap().to_owned();
        assert_ne!(next, token);
        token = next;
        let caller = user.with_token(body["token"].as_str().unwrap());
        assert_eq!(caller.rest("GET", "/account", Value::Null).await.status, 200);
    }
    for bad in ["", "nonsense", user.token()] {
        assert_refused(&refresh(&app, bad).await, 401, "TOKEN_INVALID");
    }
}

async fn the_previous_refresh_token_gets_the_same_answer_within_30_seconds(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let first = refresh(&app, &user.refresh_token).await.json();
    let again = refresh(&app, &user.refresh_token).await;
    assert_eq!(again.status, 200, "a client whose answer was lost asks again: {again:?}");
    assert_eq!(again.json()["refresh_token"], first["refresh_token"]);
}

async fn two_refreshes_at_once_get_the_same_answer(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let (one, other) = tokio::join!(refresh(&app, &user.refresh_token), refresh(&app, &user.refresh_token));
    assert_eq!((one.status.as_u16(), other.status.as_u16()), (200, 200), "{one:?} {other:?}");
    assert_eq!(one.json()["refresh_token"], other.json()["refresh_token"]);
}

async fn logging_out_ends_only_its_session(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let other = user.log_in_again().await;
    let answer = user.rest("POST", "/logout", Value::Null).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    for (method, path) in [("GET", "/account"), ("POST", "/logout")] {
        assert_refused(&user.rest(method, path, Value::Null).await, 401, "TOKEN_REVOKED");
    }
    assert_refused(&refresh(&app, &user.refresh_token).await, 401, "TOKEN_REVOKED");
    assert_eq!(other.rest("GET", "/account", Value::Null).await.status, 200);
}

async fn a_new_password_ends_the_other_sessions(database: Database) {
    const NEW: &str = "cAnary-New-Passw0rd!";
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let other = user.log_in_again().await;
    let answer = change_password(&user, PASSWORD, NEW).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{answer:?}");
    assert_eq!(
        user.rest("GET", "/account", Value::Null).await.status,
        200,
        "the session that changed the password stays valid"
    );
    assert_refused(&other.rest("GET", "/account", Value::Null).await, 401, "TOKEN_REVOKED");
    assert_refused(&refresh(&app, &other.refresh_token).await, 401, "TOKEN_REVOKED");
    assert_sentence(&log_in(&app, &user.name, PASSWORD).await, 401, "INVALID_CREDENTIALS", UNAUTHORIZED);
    assert_eq!(log_in(&app, &user.name, NEW).await.status, 200);
}

async fn a_new_password_needs_the_old_one_and_has_to_follow_the_rule(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    assert_refused(&change_password(&user, "Wr0ng-password!", PASSWORD).await, 401, "INVALID_CREDENTIALS");
    assert_refused(&change_password(&user, PASSWORD, "weak").await, 400, "INVALID_PASSWORD");
    assert_eq!(log_in(&app, &user.name, PASSWORD).await.status, 200, "nothing changed");
}

async fn the_account_is_shown_to_its_owner(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let answer = user.rest("GET", "/account", Value::Null).await;
    let body = answer.json();
    assert_eq!(keys(&body), BTreeSet::from(["created_at", "id", "role", "user_name"]));
    assert_eq!((answer.status.as_u16(), &body["user_name"]), (200, &json!(user.name)));
    assert_refused(&app.anonymous().rest("GET", "/account", Value::Null).await, 401, "TOKEN_MISSING");
}

/// The calls that delete an account. The second is for clients that cannot send a body with DELETE.
const DELETE: [(&str, &str); 2] = [("DELETE", "/account"), ("POST", "/account/delete")];

async fn deleting_an_account_needs_its_password(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    for (method, path) in DELETE {
        let answer = user.rest(method, path, json!({"password": "Wr0ng-password!"})).await;
        assert_refused(&answer, 401, "INVALID_CREDENTIALS");
    }
    assert_eq!(user.rest("GET", "/account", Value::Null).await.status, 200);
}

async fn an_account_that_owns_rooms_cannot_be_deleted(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    user.create_room().await;
    for (method, path) in DELETE {
        let answer = user.rest(method, path, json!({"password": PASSWORD})).await;
        assert_refused(&answer, 409, "OWNS_ROOMS");
    }
    assert_eq!(user.rest("GET", "/account", Value::Null).await.status, 200);
}

async fn a_deleted_accounts_name_can_be_registered_again(database: Database) {
    let app = TestApp::start(&database).await;
    for (method, path) in DELETE {
        let user = app.user().await;
        let answer = user.rest(method, path, json!({"password": PASSWORD})).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{answer:?}");
        assert_refused(&user.rest("GET", "/account", Value::Null).await, 401, "TOKEN_REVOKED");
        assert_refused(&refresh(&app, &user.refresh_token).await, 401, "TOKEN_REVOKED");
        assert_sentence(&log_in(&app, &user.name, PASSWORD).await, 401, "INVALID_CREDENTIALS", UNAUTHORIZED);
        // The new account with this name gets nothing of the old one.
        assert_eq!(register(&app, &user.name, PASSWORD).await.status, 200);
        assert_refused(&refresh(&app, &user.refresh_token).await, 401, "TOKEN_REVOKED");
    }
}

async fn of_two_registrations_of_one_name_at_once_one_succeeds(database: Database) {
    let app = TestApp::start(&database).await;
    let name = new_name();
    let (one, other) = tokio::join!(register(&app, &name, PASSWORD), register(&app, &name, PASSWORD));
    let statuses = BTreeSet::from([one.status.as_u16(), other.status.as_u16()]);
    assert_eq!(statuses, BTreeSet::from([200, 400]), "{one:?} {other:?}");
}

//! Guessing passwords and codes slows down only the guesser: nobody else is locked out, and joining one's own rooms is not a guess.

use std::sync::atomic::{AtomicBool, Ordering};

use grpcchatter_proto::v1::{DeleteChatRoomRequest, JoinChatRoomRequest, UpdateChatRoomRequest};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tonic::{Code, Status};

use crate::harness::{
    Answer, Caller, Connection, Database, Dialect, PASSWORD, Refused as _, Room, Rpc, TestApp, User, Version,
    new_name, on_each_database, report, within,
};

on_each_database! {
    guesses_from_other_addresses_lock_nobody_out,
    a_logged_in_user_changes_and_deletes_their_account_while_others_guess,
    a_stolen_session_can_try_few_passwords,
    a_user_logs_in_from_a_known_address_whose_limit_is_used_up,
    joining_without_a_password_is_not_a_guess,
    guesses_at_a_room_delay_nobody_else,
    a_member_joins_when_the_limit_is_used_up,
    guesses_of_short_codes_count_for_the_account_at_any_address,
}

/// Lets the test's callers set their addresses by `x-forwarded-for`.
const BEHIND_A_PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.0/8");

async fn log_in(app: &TestApp, from: &str, name: &str, password: &str) -> Answer {
    let body = json!({"user_name": name, "password": password}).to_string();
    app.send(Version::H1, "POST", "/login", &[("x-forwarded-for", from)], body.as_bytes()).await
}

/// Calls from an address.
async fn call_from<R: Rpc>(app: &TestApp, from: &str, user: &User, message: &R) -> Result<(), Status> {
    let mut connection = Connection::open(app.address(), Dialect::Web.version()).await;
    let metadata = [("x-forwarded-for", from), ("token", user.token())];
    Dialect::Web.call(&mut connection, R::PATH, &metadata, message).await.map(drop)
}

fn by_code(short_code: &str) -> JoinChatRoomRequest {
    JoinChatRoomRequest { short_code: short_code.to_owned(), ..Default::default() }
}

fn wrong_password(room: &Room) -> JoinChatRoomRequest {
    JoinChatRoomRequest { room_password: "Wr0ng".to_owned(), ..by_code(&room.short_code) }
}

/// Guesses room codes until the address or the account has no guesses left.
async fn use_up(caller: &Caller) {
    for nth in 0.. {
        let status = caller.call(by_code(&format!("none{nth}"))).await.unwrap_err();
        if status.code() == Code::ResourceExhausted {
            status.refused(Code::ResourceExhausted, "RATE_LIMITED");
            return;
        }
        status.refused(Code::NotFound, "ROOM_NOT_FOUND");
    }
}

async fn guesses_from_other_addresses_lock_nobody_out(database: Database) {
    const LOGINS: u8 = 44;
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", ""), BEHIND_A_PROXY]).await;
    let owner = app.user().await;
    // The owner logs in when all guessers are being refused.
    let (done, refusing) = (AtomicBool::new(false), Barrier::new(4));
    let guess = async |from| {
        let (mut wrong, mut refused) = (0, 0);
        while !done.load(Ordering::Relaxed) {
            match log_in(&app, from, &owner.name, "Wr0ng-password").await.status.as_u16() {
                401 => wrong += 1,
                429 => {
                    if refused == 0 {
                        refusing.wait().await;
                    }
                    refused += 1;
                }
                // On a busy machine the password queue may be full.
                other => assert_eq!(other, 503),
            }
        }
        (wrong, refused)
    };
    let logins = async {
        let mut right = 0;
        within("refusals", refusing.wait()).await;
        for nth in 0..LOGINS {
            // From the known address, and each time from a new one.
            for from in ["192.0.2.1", &format!("192.0.2.{}", 2 + nth)] {
                let answer = log_in(&app, from, &owner.name, PASSWORD).await;
                right += u32::from(answer.status == 200);
            }
        }
        done.store(true, Ordering::Relaxed);
        right
    };
    let (right, one, two, three) =
        tokio::join!(logins, guess("198.51.100.1"), guess("198.51.100.2"), guess("198.51.100.3"));
    let figures =
        format!("{right} of {} right logins; (wrong, refused) {one:?} {two:?} {three:?}", 2 * LOGINS);
    report("guesses elsewhere", &figures);
    assert_eq!(right, 2 * u32::from(LOGINS), "{figures}");
    assert!([one, two, three].iter().all(|(wrong, refused)| *wrong >= 5 && *refused > 0), "{figures}");
}

async fn a_logged_in_user_changes_and_deletes_their_account_while_others_guess(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "8")]).await;
    let user = app.user().await;
    let anonymous = app.anonymous();
    let guess = async |name: &str| {
        let body = json!({"user_name": name, "password": "Wr0ng-password"});
        anonymous.rest("POST", "/login", body).await.status.as_u16()
    };
    // From the same address, on this account and on others, until no guesses are left.
    while guess(&user.name).await == 401 {}
    while guess(&new_name()).await == 401 {}
    let new_password = "cAnary-Passw0rd?";
    let body = json!({"password": PASSWORD, "new_password": new_password});
    let changed = user.rest("PUT", "/account/password", body).await;
    assert_eq!(changed.status, 204, "{changed:?}");
    let wrong = user.rest("DELETE", "/account", json!({"password": "Wr0ng-password"})).await;
    assert_eq!(wrong.status, 401, "{wrong:?}");
    let deleted = user.rest("DELETE", "/account", json!({"password": new_password})).await;
    assert_eq!(deleted.status, 204, "{deleted:?}");
}

async fn a_stolen_session_can_try_few_passwords(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "")]).await;
    let mine = app.user().await;
    let stolen = mine.log_in_again().await;
    let body = |password| json!({"password": password, "new_password": PASSWORD});
    let mut wrong = 0;
    let refused = loop {
        let answer = stolen.rest("PUT", "/account/password", body("Wr0ng-password")).await;
        match answer.status.as_u16() {
            401 => wrong += 1,
            _ => break answer,
        }
    };
    assert_eq!((refused.status.as_u16(), &refused.json()["reason"]), (429, &json!("RATE_LIMITED")));
    assert!((5..=10).contains(&wrong), "{wrong} wrong passwords");
    assert_eq!(mine.rest("PUT", "/account/password", body(PASSWORD)).await.status, 204);
}

async fn a_user_logs_in_from_a_known_address_whose_limit_is_used_up(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "3"), BEHIND_A_PROXY]).await;
    let user = app.user().await;
    let (home, hotel) = ("192.0.2.1", "192.0.2.2");
    assert_eq!(log_in(&app, home, &user.name, PASSWORD).await.status, 200);
    for address in [home, hotel] {
        while log_in(&app, address, &new_name(), PASSWORD).await.status == 401 {}
    }
    assert_eq!(log_in(&app, home, &user.name, PASSWORD).await.status, 200);
    assert_eq!(log_in(&app, hotel, &user.name, PASSWORD).await.status, 429);
    // At a known address the account has its own limit per hour, and no more.
    for _ in 0..3 {
        assert_eq!(log_in(&app, home, &user.name, "Wr0ng-password").await.status, 401);
    }
    assert_eq!(log_in(&app, home, &user.name, PASSWORD).await.status, 429);
}

async fn joining_without_a_password_is_not_a_guess(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "3")]).await;
    let (owner, stranger, friend) = (app.user().await, app.user().await, app.user().await);
    let room = owner.create_room().await;
    for dialect in Dialect::ALL {
        let stranger = stranger.with_dialect(dialect);
        for _ in 0..8 {
            let status = stranger.call(by_code(&room.short_code)).await;
            status.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
        }
    }
    friend.join(&room).await;
    stranger.join(&room).await;
}

async fn guesses_at_a_room_delay_nobody_else(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "1000")]).await;
    let (owner, stranger, friend) = (app.user().await, app.user().await, app.user().await);
    let room = owner.create_room().await;
    let mut wrong = 0;
    let status = loop {
        let status = stranger.call(wrong_password(&room)).await.unwrap_err();
        if status.code() == Code::ResourceExhausted {
            break status;
        }
        status.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
        wrong += 1;
    };
    assert!((5..=10).contains(&wrong), "{wrong} wrong passwords");
    status.refused(Code::ResourceExhausted, "RATE_LIMITED");
    friend.join(&room).await;
}

async fn a_member_joins_when_the_limit_is_used_up(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "3")]).await;
    let (owner, member, stranger) = (app.user().await, app.user().await, app.user().await);
    let (room, open) = (owner.create_room().await, owner.create_room_with("").await);
    member.join(&room).await;
    use_up(&stranger).await;
    for dialect in Dialect::ALL {
        for caller in [&owner, &member] {
            caller.with_dialect(dialect).call(by_code(&room.short_code)).await.unwrap();
            caller.with_dialect(dialect).call(room.join_request()).await.unwrap();
        }
        for code in [&room.short_code, &open.short_code, "none"] {
            let status = stranger.with_dialect(dialect).call(by_code(code)).await;
            status.refused(Code::ResourceExhausted, "RATE_LIMITED");
        }
    }
    // The owner's calls still work.
    let request = UpdateChatRoomRequest {
        short_code: room.short_code.clone(),
        room_name: Some("still mine".to_owned()),
        ..Default::default()
    };
    owner.call(request).await.unwrap();
    assert_eq!(member.rest("GET", "/account", Value::Null).await.status, 200);
}

async fn guesses_of_short_codes_count_for_the_account_at_any_address(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "4"), BEHIND_A_PROXY]).await;
    let (seeker, other) = (app.user().await, app.user().await);
    for nth in 0..4 {
        let from = format!("192.0.2.{nth}");
        let outcome = match nth {
            0 | 1 => call_from(&app, &from, &seeker, &by_code("none")).await,
            _ => {
                let request = DeleteChatRoomRequest { short_code: "none".to_owned() };
                call_from(&app, &from, &seeker, &request).await
            }
        };
        outcome.refused(Code::NotFound, "ROOM_NOT_FOUND");
    }
    let outcome = call_from(&app, "192.0.2.9", &seeker, &by_code("none")).await;
    outcome.refused(Code::ResourceExhausted, "RATE_LIMITED");
    call_from(&app, "192.0.2.9", &other, &by_code("none")).await.refused(Code::NotFound, "ROOM_NOT_FOUND");
}

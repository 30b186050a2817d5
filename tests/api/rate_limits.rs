//! Rate limits of registrations, logins, messages and connections: they slow strangers and floods down, give a retry delay, and never
//! lock out a user who knows their password.

use grpcchatter_proto::v1::{JoinChatRoomRequest, SendMessageRequest};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, net::TcpSocket, task::JoinSet};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{
    Answer, Bystander, Caller, Database, PASSWORD, Refused as _, TestApp, new_name, on_each_database, report,
    within,
};

on_each_database! {
    registrations_are_limited_by_address,
    wrong_passwords_are_limited_by_address_and_right_ones_are_not,
    sixty_users_with_right_passwords_log_in_at_once,
    wrong_passwords_sent_in_parallel_are_limited_like_those_in_sequence,
    known_and_unknown_names_are_delayed_alike_after_five_failures,
    guesses_at_a_room_password_are_delayed,
    messages_are_limited_by_user_after_a_burst,
    connections_are_limited_by_address,
    the_excess_of_five_hundred_logins_at_once_is_refused_without_slowing_chat,
}

async fn register(caller: &Caller) -> Answer {
    caller.rest("POST", "/register", json!({"user_name": new_name(), "password": PASSWORD})).await
}

async fn log_in(caller: &Caller, name: &str, password: &str) -> Answer {
    caller.rest("POST", "/login", json!({"user_name": name, "password": password})).await
}

/// Checks a refusal with a retry delay.
#[track_caller]
fn assert_limited(answer: &Answer) {
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["reason"]),
        (429, &json!("RATE_LIMITED")),
        "{answer:?}"
    );
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    // The window of an hour has slices of 5 minutes, and the current slice counts too.
    assert!((1..=65 * 60).contains(&seconds), "{answer:?}");
}

async fn registrations_are_limited_by_address(database: Database) {
    let app = TestApp::with(&database, &[("REGISTRATIONS_PER_HOUR", "3")]).await;
    // The bystander's registration counts too.
    let (bystander, user) = (Bystander::of(&app).await, app.user().await);
    assert_eq!(register(&app.anonymous()).await.status, 200);
    assert_limited(&register(&app.anonymous()).await);
    // Users who have an account can log in.
    assert_eq!(log_in(&app.anonymous(), &user.name, PASSWORD).await.status, 200);
    bystander.was_not_slowed_down().await;
}

async fn wrong_passwords_are_limited_by_address_and_right_ones_are_not(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "4")]).await;
    let (bystander, user) = (Bystander::of(&app).await, app.user().await);
    for _ in 0..6 {
        assert_eq!(log_in(&app.anonymous(), &user.name, PASSWORD).await.status, 200);
    }
    for _ in 0..4 {
        assert_eq!(log_in(&app.anonymous(), &new_name(), PASSWORD).await.status, 401);
    }
    assert_limited(&log_in(&app.anonymous(), &new_name(), PASSWORD).await);
    // A session needs no password, so it still works.
    assert_eq!(user.rest("GET", "/account", Value::Null).await.status, 200);
    bystander.was_not_slowed_down().await;
}

/// 60 users behind one address log in at once. Those who find the password queue full get a short retry delay.
async fn sixty_users_with_right_passwords_log_in_at_once(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "")]).await;
    let user = app.user().await;
    let mut logging_in = JoinSet::new();
    for _ in 0..60 {
        let (caller, name) = (app.anonymous(), user.name.clone());
        logging_in.spawn(async move {
            loop {
                let answer = log_in(&caller, &name, PASSWORD).await;
                if answer.status == 200 {
                    return;
                }
                assert!([408, 429, 503].contains(&answer.status.as_u16()), "{answer:?}");
                // On a busy machine the login may time out, which has no retry delay.
                let seconds: u64 = answer.header("retry-after").parse().unwrap_or_default();
                assert!(seconds <= 2, "{answer:?}");
            }
        });
    }
    within("sixty logins", logging_in.join_all()).await;
}

async fn wrong_passwords_sent_in_parallel_are_limited_like_those_in_sequence(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "")]).await;
    let mut guessing = JoinSet::new();
    for _ in 0..40 {
        let caller = app.anonymous();
        guessing.spawn(async move { log_in(&caller, &new_name(), "Wr0ng-password").await });
    }
    let answers = within("forty guesses", guessing.join_all()).await;
    let wrong = answers.iter().filter(|answer| answer.status == 401).count();
    assert!(wrong <= 30, "{wrong} were tried");
    assert!(
        answers.iter().all(|answer| [401, 408, 429, 503].contains(&answer.status.as_u16())),
        "{answers:?}"
    );
    for _ in wrong..30 {
        assert_eq!(log_in(&app.anonymous(), &new_name(), "Wr0ng-password").await.status, 401);
    }
    assert_limited(&log_in(&app.anonymous(), &new_name(), "Wr0ng-password").await);
}

async fn known_and_unknown_names_are_delayed_alike_after_five_failures(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "1000")]).await;
    let user = app.user().await;
    for name in [user.name.clone(), new_name()] {
        let mut wrong = 0;
        // Each failure after the fifth doubles the delay, so that after a few it is longer than one hash takes.
        let limited = loop {
            let answer = log_in(&app.anonymous(), &name, "Wr0ng-password").await;
            if answer.status == 429 {
                break answer;
            }
            assert_eq!(answer.status, 401, "{answer:?}");
            wrong += 1;
        };
        assert!((5..=10).contains(&wrong), "{wrong} wrong passwords for {name}");
        assert_limited(&limited);
    }
}

async fn guesses_at_a_room_password_are_delayed(database: Database) {
    let app = TestApp::with(&database, &[("GUESSES_PER_HOUR", "1000")]).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let mut wrong = 0;
    let limited = loop {
        let room_password = "wrong".to_owned();
        let request = JoinChatRoomRequest { room_password, ..room.join_request() };
        let status = guest.call(request).await.unwrap_err();
        if status.code() == Code::ResourceExhausted {
            break status;
        }
        status.refused(Code::PermissionDenied, "WRONG_ROOM_PASSWORD");
        wrong += 1;
    };
    assert!((5..=10).contains(&wrong), "{wrong} wrong passwords");
    let status = limited.refused(Code::ResourceExhausted, "RATE_LIMITED");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
}

async fn messages_are_limited_by_user_after_a_burst(database: Database) {
    let app = TestApp::with(&database, &[("MESSAGES_PER_SECOND", "1")]).await;
    let (owner, guest) = (app.user().await, app.user().await);
    let room = owner.create_room().await;
    let (member, other) = (owner.join(&room).await, guest.join(&room).await);
    let mut stored = 0;
    let limited = loop {
        match member.call(SendMessageRequest { body: "again".to_owned(), ..Default::default() }).await {
            Ok(_) => stored += 1,
            Err(status) => break status,
        }
    };
    assert!(stored >= 4, "a burst has at least four messages, but {stored} were stored");
    let status = limited.refused(Code::ResourceExhausted, "RATE_LIMITED");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
    let mut chat = member.chat().await.unwrap();
    let rejected = loop {
        chat.say_as(&new_name(), "and on a stream").await;
        if let Some(rejected) = chat.next().await.rejected {
            break rejected;
        }
    };
    assert_eq!((rejected.code, &*rejected.reason), (Code::ResourceExhausted as i32, "RATE_LIMITED"));
    other.say("not held up by them").await;
}

async fn connections_are_limited_by_address(database: Database) {
    let app = TestApp::with(&database, &[("MAX_CONNECTIONS_PER_ADDRESS", "20")]).await;
    let bystander = Bystander::of(&app).await;
    // From another address than the bystander's.
    let connect = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        socket.connect(app.address()).await.unwrap()
    };
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(connect().await);
    }
    let mut last = connect().await;
    // A reset ends the connection too. The silent connections before it are closed only after 10 s.
    let ended = within("the end of the last", last.read_u8()).await;
    assert!(ended.is_err(), "{ended:?}");
    bystander.was_not_slowed_down().await;
    drop(open);
}

async fn the_excess_of_five_hundred_logins_at_once_is_refused_without_slowing_chat(database: Database) {
    let app = TestApp::with(&database, &[("MAX_CONNECTIONS_PER_ADDRESS", "0")]).await;
    let (bystander, user) = (Bystander::of(&app).await, app.user().await);
    let mut logging_in = JoinSet::new();
    for _ in 0..500 {
        let (caller, name) = (app.anonymous(), user.name.clone());
        logging_in.spawn(async move { log_in(&caller, &name, PASSWORD).await });
    }
    let (mut logged_in, mut refused) = (0, 0);
    while let Some(answer) = within("an answer", logging_in.join_next()).await {
        let answer = answer.unwrap();
        // On a busy machine a queued login may time out.
        if [200, 408, 504].contains(&answer.status.as_u16()) {
            logged_in += 1;
            continue;
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        // On a busy machine a login may find no free database connection after its hash.
        if answer.json()["reason"] != "DATABASE_UNAVAILABLE" {
            assert_eq!(answer.json()["reason"], "OVERLOADED");
            refused += 1;
        }
    }
    report("logins at once", &format!("500: {logged_in} logged in, {refused} refused"));
    assert!(logged_in > 0 && refused > 0, "the queue admits some and is bounded");
    bystander.was_not_slowed_down().await;
    // The queue has room again.
    assert_eq!(log_in(&app.anonymous(), &user.name, PASSWORD).await.status, 200);
}

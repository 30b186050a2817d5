//! What must never be logged, nor stand in the figures: tokens, passwords, bodies and the secret, at the finest level,
//! whatever is called and however it fails.

use grpcchatter_proto::v1::SendMessageRequest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Connection, Database, Dialect, METHODS, PASSWORD, Process, SECRET, Token, Version, on_each_database,
    request,
};

on_each_database! {
    nothing_secret_is_logged_at_the_finest_level,
}

const BODY: &str = "cAnary-body";

async fn nothing_secret_is_logged_at_the_finest_level(database: Database) {
    for format in ["text", "json"] {
        let folder = TempDir::new().unwrap();
        let settings = [("LOG_LEVEL", "trace"), ("LOG_FORMAT", format)];
        let server = Process::start(&database.another().await, &folder, &settings).await;
        let mut secrets = vec!["cAnary".to_owned(), SECRET.to_owned()];
        secrets.extend(call_everything(&server).await);
        let mut connection = Connection::open(server.address(), Version::H1).await;
        let figures = connection.send(request("GET", "/metrics", &[], "")).await;
        assert_eq!(figures.status, 200);
        let told: Vec<_> = secrets.iter().filter(|secret| figures.text().contains(*secret)).collect();
        assert!(told.is_empty(), "the figures hold {told:?}");
        server.terminate();
        let (status, log) = server.wait().await;
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.lines().count() > 50, "the log says something: {log}");
        let seen: Vec<_> =
            log.lines().filter(|line| secrets.iter().any(|secret| line.contains(secret))).collect();
        assert!(seen.is_empty(), "{} lines hold a secret:\n{}", seen.len(), seen.join("\n"));
    }
}

/// Calls what takes a secret, well and badly, and returns the secrets that were made on the way.
async fn call_everything(server: &Process) -> Vec<String> {
    let user = server.user().await;
    let room = user.create_room().await;
    let member = user.join(&room).await;
    let invitation = user.invite(&room).await;
    user.join_by(&invitation).await.unwrap();
    let again = user.log_in_again().await;
    let refresh = json!({"refresh_token": again.refresh_token});
    let renewed = again.rest("POST", "/refresh", refresh.clone()).await.json();
    again.rest("POST", "/logout", Value::Null).await;
    let mut secrets: Vec<String> = [user.token(), member.token(), &invitation, again.token()]
        .into_iter()
        .flat_map(|token| [token.to_owned(), token.rsplit_once('.').unwrap().1.to_owned()])
        .collect();
    secrets.extend([user.refresh_token.clone(), again.refresh_token.clone()]);
    secrets
        .extend([&renewed["token"], &renewed["refresh_token"]].map(|new| new.as_str().unwrap().to_owned()));

    let mut stream = member.subscribe(None).await.unwrap();
    let mut chat = member.chat().await.unwrap();
    chat.say_as("cAnary-id", BODY).await;
    chat.next().await;
    member.say_as("cAnary-id", BODY).await;
    stream.message().await;
    chat.say_as("cAnary-long", &BODY.repeat(1000)).await;
    chat.next().await;
    member.call(SendMessageRequest { body: format!("{BODY}\0"), ..Default::default() }).await.unwrap_err();

    let anonymous = server.anonymous();
    let bad = [
        format!(r#"{{"user_name": "walker1", "password": "{PASSWORD}"#),
        format!(r#"{{"user_name": "{}", "password": "cAnary-wrong-1"}}"#, user.name),
        format!(r#"{{"user_name": "cAnary", "password": "{PASSWORD}"}}"#),
        format!(r#"{{"user_name": "walker1", "password": ["{PASSWORD}"]}}"#),
        format!(r#"{{"refresh_token": "cAnary-{}"}}"#, "x".repeat(64)),
    ];
    for path in ["/register", "/login", "/refresh"] {
        for body in &bad {
            anonymous.rest_bytes("POST", path, body.as_bytes()).await;
        }
    }
    let change = json!({"password": "cAnary-wrong-1", "new_password": "cAnary-Passw0rd!2"});
    user.rest("PUT", "/account/password", change).await;
    user.rest("DELETE", "/account", json!({"password": "cAnary-wrong-1"})).await;

    // A token in the wrong place, and tokens that were tampered with.
    let forged = Token::parse(user.token()).claiming("name", "cAnary").unsigned();
    secrets.push(forged.rsplit_once('.').unwrap().0.to_owned());
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(server.address(), dialect.version()).await;
        for (path, _) in METHODS {
            for (header, value) in
                [("token", forged.as_str()), ("authorization", "Basic cAnary"), ("cookie", "token=cAnary")]
            {
                dialect.call(&mut connection, path, &[(header, value)], &()).await.unwrap_err();
            }
        }
    }
    for version in [Version::H1, Version::H2] {
        let mut connection = Connection::open(server.address(), version).await;
        for path in ["/account?token=cAnary", "/cAnary"] {
            let headers = [
                ("authorization", "Bearer cAnary"),
                ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
                ("tracestate", "a=cAnary"),
            ];
            connection.send(request("GET", path, &headers, "")).await;
        }
    }
    secrets
}

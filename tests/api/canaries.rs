//! No token, password, message body or `SECRET` is ever logged, at TRACE, or is part of the metrics, whatever call is made and
//! however it fails.

use grpcchatter_proto::v1::SendMessageRequest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Connection, Database, Dialect, METHODS, Member, PASSWORD, Process, SECRET, Token, User, Version,
    on_each_database, request,
};

on_each_database! {
    no_secret_is_logged_at_trace,
}

const BODY: &str = "cAnary-body";

async fn no_secret_is_logged_at_trace(database: Database) {
    for format in ["text", "json"] {
        let folder = TempDir::new().unwrap();
        let settings = [("LOG_LEVEL", "trace"), ("LOG_FORMAT", format)];
        let server = Process::start(&database.another().await, &folder, &settings).await;
        let mut secrets = vec!["cAnary".to_owned(), SECRET.to_owned()];
        secrets.extend(call_everything(&server).await);
        let mut connection = Connection::open(server.address(), Version::H1).await;
        let metrics = connection.send(request("GET", "/metrics", &[], "")).await;
        assert_eq!(metrics.status, 200);
        let seen: Vec<_> = secrets.iter().filter(|secret| metrics.text().contains(*secret)).collect();
        assert!(seen.is_empty(), "the metrics contain {seen:?}");
        server.terminate();
        let (status, log) = server.wait().await;
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.lines().count() > 50, "the log is too short to be at TRACE: {log}");
        let lines: Vec<_> =
            log.lines().filter(|line| secrets.iter().any(|secret| line.contains(secret))).collect();
        assert!(lines.is_empty(), "{} lines contain a secret:\n{}", lines.len(), lines.join("\n"));
    }
}

/// Makes every call that takes a secret, with valid and with invalid ones. Returns the secrets that were issued.
async fn call_everything(server: &Process) -> Vec<String> {
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut secrets = issue_secrets(&user, &member).await;
    send_messages(&member).await;
    fail_rest_calls(server, &user).await;
    // Tokens in the wrong place, and tokens that were tampered with.
    let forged = Token::parse(user.token()).claiming("name", "cAnary").unsigned();
    secrets.push(forged.rsplit_once('.').unwrap().0.to_owned());
    show_wrong_tokens(server, &forged).await;
    secrets
}

/// Issues every kind of token. Returns them, and their signatures.
async fn issue_secrets(user: &User, member: &Member) -> Vec<String> {
    let invitation = user.invite(&member.room).await;
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
    secrets
}

/// Sends messages over each call, some of which are refused.
async fn send_messages(member: &Member) {
    let mut stream = member.subscribe(None).await.unwrap();
    let mut chat = member.chat().await.unwrap();
    chat.say_as("cAnary-id", BODY).await;
    chat.next().await;
    member.say_as("cAnary-id", BODY).await;
    stream.message().await;
    chat.say_as("cAnary-long", &BODY.repeat(1000)).await;
    chat.next().await;
    member.call(SendMessageRequest { body: format!("{BODY}\0"), ..Default::default() }).await.unwrap_err();
}

async fn fail_rest_calls(server: &Process, user: &User) {
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
}

async fn show_wrong_tokens(server: &Process, forged: &str) {
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(server.address(), dialect.version()).await;
        for (path, _) in METHODS {
            for (header, value) in
                [("token", forged), ("authorization", "Basic cAnary"), ("cookie", "token=cAnary")]
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
}

//! The audit log, with a line for each event of accounts and rooms, and the access log, with a line for each call.

use grpcchatter_proto::v1::{
    ListChatRoomsRequest, RemoveChatRoomUserRequest, SendMessageRequest, UnbanChatRoomUserRequest,
    UpdateChatRoomRequest,
};
use regex::Regex;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::harness::{
    Connection, Database, Dialect, PASSWORD, Process, Rpc as _, User, Version, new_name, on_each_database,
    request, within,
};

on_each_database! {
    each_event_of_accounts_and_rooms_is_one_line,
    no_user_name_forges_a_line_or_a_peer,
    no_request_id_hides_a_line,
    a_limit_is_logged_once_per_caller,
    too_many_connections_are_logged_with_their_address,
    a_call_is_one_line_with_all_its_fields,
    an_operators_commands_are_logged_with_their_uid,
}

const WRONG: &str = "cAnary-wrong-1";
const NEW: &str = "cAnary-An0ther!";

/// Returns the lines of a target.
fn lines_of(log: &str, target: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == target).collect()
}

/// Returns the peers whom fail2ban would ban with the filter in configs/: those of the lines that its expressions match. Checks that
/// it finds the same peers in a log file and in the journal.
fn banned(log: &str) -> Vec<String> {
    let filter = include_str!("../../configs/fail2ban/filter.d/grpcchatter.conf");
    let value = |key: &str| filter.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
    let (event, journal) = (value("_event").unwrap(), value("_journal").unwrap());
    let expressions = filter.split("\nfailregex = ").nth(1).unwrap().split("\n\n").next().unwrap();
    let expressions: Vec<Regex> = expressions
        .lines()
        .map(|line| {
            line.trim()
                .replace("%(_event)s", event)
                .replace("%(_journal)s", journal)
                .replace("<HOST>", "(?P<host>[0-9a-fA-F.:]+)")
        })
        .map(|line| Regex::new(&line).unwrap())
        .collect();
    assert_eq!(expressions.len(), 2);
    // fail2ban removes the date, and what its pattern matches before that.
    let date = Regex::new(r#"^(?:\{"timestamp":")?[0-9-]+T[0-9:.]+Z"#).unwrap();
    let peer = |line: &str| {
        let found = expressions.iter().find_map(|expression| expression.captures(line))?;
        Some(found["host"].to_owned())
    };
    let in_file = log.lines().filter(|line| date.is_match(line)).map(|line| date.replace(line, ""));
    let in_file: Vec<String> = in_file.filter_map(|line| peer(&line)).collect();
    let in_journal = log.lines().map(|line| format!("machine grpcchatter[4711]: {line}"));
    assert_eq!(in_journal.filter_map(|line| peer(&line)).collect::<Vec<_>>(), in_file);
    in_file
}

async fn each_event_of_accounts_and_rooms_is_one_line(database: Database) {
    for level in ["info", "trace"] {
        let folder = TempDir::new().unwrap();
        let settings = [("LOG_FORMAT", "json"), ("LOG_LEVEL", level), ("TRUSTED_PROXIES", "127.0.0.1")];
        let server = Process::start(&database.another().await, &folder, &settings).await;
        let (owner, guest) = (server.user().await, server.user().await);
        fail_to_log_in(&server, &guest.name).await;
        manage_a_room(&owner, &guest).await;
        change_password(&owner).await;
        use_sessions(&guest).await;
        let log = server.kill().await;
        let (owner, guest) = (owner.name.as_str(), guest.name.as_str());
        let event = |event, user, member, peer, reason| json!([event, "INFO", user, member, peer, reason]);
        let (here, there, none) = (json!("127.0.0.1"), json!("198.51.100.7"), Value::Null);
        let plain = |name, user: &str| event(name, json!(user), none.clone(), here.clone(), none.clone());
        let refused = |name, user: Value, peer: &Value, reason: &str| {
            event(name, user, none.clone(), peer.clone(), json!(reason))
        };
        let of = |name| event(name, json!(owner), json!(guest), here.clone(), none.clone());
        let expected = [
            plain("registered", owner),
            plain("login", owner),
            plain("registered", guest),
            plain("login", guest),
            refused("login_failed", json!(guest), &there, "INVALID_CREDENTIALS"),
            refused("login_failed", none.clone(), &there, "INVALID_CREDENTIALS"),
            refused("room_password_failed", json!(guest), &here, "WRONG_ROOM_PASSWORD"),
            of("member_removed"),
            of("member_banned"),
            of("member_unbanned"),
            plain("room_password_changed", owner),
            plain("room_password_changed", owner),
            plain("room_deleted", owner),
            refused("own_password_failed", json!(owner), &here, "INVALID_CREDENTIALS"),
            plain("password_changed", owner),
            refused("session_reused", json!(guest), &here, "TOKEN_REVOKED"),
            plain("login", guest),
            plain("logout", guest),
            plain("login", guest),
            plain("account_deleted", guest),
        ];
        let fields = ["event", "level", "user", "member", "peer", "reason"];
        let lines = lines_of(&log, "audit");
        let seen: Vec<Value> =
            lines.iter().map(|line| fields.iter().map(|field| line[field].clone()).collect()).collect();
        assert_eq!(seen, expected, "{log}");
        assert_eq!(banned(&log), ["198.51.100.7", "198.51.100.7", "127.0.0.1", "127.0.0.1"]);
    }
}

/// Fails to log in from another address: as a user, and with a name that no user has, which may be a password in the wrong field.
async fn fail_to_log_in(server: &Process, name: &str) {
    let mut connection = Connection::open(server.address(), Version::H1).await;
    for name in [name, WRONG] {
        let body = json!({"user_name": name, "password": WRONG}).to_string();
        let headers = [("content-type", "application/json"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(connection.send(request("POST", "/login", &headers, body)).await.status, 401);
    }
}

/// Joins, removes, bans, unbans, changes the password and deletes. A repetition changes nothing and logs no line.
async fn manage_a_room(owner: &User, guest: &User) {
    let room = owner.create_room().await;
    let mut wrong = room.join_request();
    wrong.room_password = WRONG.to_owned();
    guest.call(wrong).await.unwrap_err();
    guest.join(&room).await;
    let names = || (room.short_code.clone(), guest.name.clone());
    for ban in [false, true, true] {
        let (short_code, user_name) = names();
        owner.call(RemoveChatRoomUserRequest { short_code, user_name, ban }).await.unwrap();
    }
    for _ in 0..2 {
        let (short_code, user_name) = names();
        owner.call(UnbanChatRoomUserRequest { short_code, user_name }).await.unwrap();
    }
    for password in ["", "", "another"] {
        let (short_code, room_password) = (room.short_code.clone(), Some(password.to_owned()));
        let update = UpdateChatRoomRequest { short_code, room_password, room_name: None };
        owner.call(update).await.unwrap();
    }
    owner.delete(&room).await;
}

/// Fails to change the password, then changes it.
async fn change_password(owner: &User) {
    for (password, status) in [(WRONG, 401), (PASSWORD, 204)] {
        let body = json!({"password": password, "new_password": NEW});
        assert_eq!(owner.rest("PUT", "/account/password", body).await.status, status);
    }
}

/// Reuses an old refresh token, logs in and out, and deletes the account.
async fn use_sessions(guest: &User) {
    let mut token = guest.refresh_token.clone();
    for status in [200, 200, 401] {
        let answer = guest.rest("POST", "/refresh", json!({"refresh_token": token})).await;
        assert_eq!(answer.status, status);
        token = if status == 200 && token == guest.refresh_token {
            answer.json()["refresh_token"].as_str().unwrap().to_owned()
        } else {
            guest.refresh_token.clone()
        };
    }
    let again = guest.log_in_again().await;
    again.rest("POST", "/logout", Value::Null).await;
    let again = guest.log_in_again().await;
    assert_eq!(again.rest("DELETE", "/account", json!({"password": PASSWORD})).await.status, 204);
}

async fn no_user_name_forges_a_line_or_a_peer(database: Database) {
    const FORGED: &str = "x\" peer=192.0.2.9\n2026-11-28T00:00:00.000000Z  INFO audit: a log-in failed \
        event=\"login_failed\" peer=192.0.2.9\u{1b}[2J";
    for format in ["text", "json"] {
        let (database, folder) = (database.another().await, TempDir::new().unwrap());
        let server = Process::start(&database, &folder, &[("LOG_FORMAT", format)]).await;
        let user = server.user().await;
        // Only an older version accepted such a name.
        let operator = database.operator(folder.path()).await;
        let rename = format!("UPDATE accounts SET user_name = '{FORGED}' WHERE user_name = '{}'", user.name);
        operator.execute_unprepared(&rename).await.unwrap();
        operator.close().await.unwrap();
        let credentials = json!({"user_name": FORGED, "password": WRONG});
        assert_eq!(server.anonymous().rest("POST", "/login", credentials).await.status, 401);
        let log = server.kill().await;
        assert_eq!(banned(&log), ["127.0.0.1"], "{log}");
        assert!(!log.contains('\u{1b}'), "{log}");
    }
}

async fn no_request_id_hides_a_line(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[("LOG_FORMAT", "text"), ("LOG_LEVEL", "debug")]).await;
    let user = server.user().await;
    let mut connection = Connection::open(server.address(), Version::H1).await;
    let body = json!({"user_name": user.name, "password": WRONG}).to_string();
    let long = "a".repeat(65);
    let ids = ["a}b", "a b", "a\"b", "", &long, "plain-1.2_3"];
    for id in ids {
        let headers = [
            ("content-type", "application/json"),
            ("x-request-id", id),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ];
        let answer = connection.send(request("POST", "/login", &headers, body.clone())).await;
        assert_eq!(answer.status, 401);
        let (given, is_plain) = (answer.header("x-request-id"), id == "plain-1.2_3");
        assert_eq!(given == id, is_plain, "{id:?}: {given:?}");
        assert!(!given.is_empty());
    }
    let log = server.kill().await;
    assert_eq!(banned(&log), ["127.0.0.1"; 6], "{log}");
}

async fn a_limit_is_logged_once_per_caller(database: Database) {
    let folder = TempDir::new().unwrap();
    let settings = [("LOG_FORMAT", "json"), ("MESSAGES_PER_SECOND", "1")];
    let server = Process::start(&database, &folder, &settings).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut refused = 0;
    for _ in 0..20 {
        let sent = member.call(SendMessageRequest { body: "hello".to_owned(), ..Default::default() }).await;
        refused += u32::from(sent.is_err());
    }
    assert!(refused > 2);
    let mut chat = member.chat().await.unwrap();
    chat.say_as("one", "hello").await;
    chat.next().await;
    let lines = lines_of(&server.kill().await, "audit");
    let lines: Vec<&Value> = lines.iter().filter(|line| line["event"] == "limit_hit").collect();
    let [line] = lines[..] else { panic!("{lines:?}") };
    assert_eq!([&line["user"], &line["peer"], &line["reason"]], [&user.name, "127.0.0.1", "RATE_LIMITED"]);
}

async fn too_many_connections_are_logged_with_their_address(database: Database) {
    let folder = TempDir::new().unwrap();
    let settings = [("LOG_FORMAT", "json"), ("MAX_CONNECTIONS_PER_ADDRESS", "2")];
    let server = Process::start(&database, &folder, &settings).await;
    let mut connections = Vec::new();
    for _ in 0..5 {
        connections.push(TcpStream::connect(server.address()).await.unwrap());
    }
    for refused in &mut connections[2..] {
        // The connection may end with a reset.
        let end = within("the end of a connection", refused.read_to_end(&mut Vec::new())).await;
        assert_eq!(end.unwrap_or(0), 0);
    }
    let lines = lines_of(&server.kill().await, "audit");
    let lines: Vec<&Value> = lines.iter().filter(|line| line["event"] == "limit_hit").collect();
    let [line] = lines[..] else { panic!("{lines:?}") };
    let seen = [&line["user"], &line["peer"], &line["reason"]];
    assert_eq!(seen, [&Value::Null, &json!("127.0.0.1"), &json!("TOO_MANY_CONNECTIONS")]);
}

async fn a_call_is_one_line_with_all_its_fields(database: Database) {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let folder = TempDir::new().unwrap();
    let settings = [
        ("LOG_FORMAT", "json"),
        ("LOG_LEVEL", "info,access=debug"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
        ("GUESSES_PER_HOUR", "0"),
    ];
    let server = Process::start(&database, &folder, &settings).await;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let traced = [("x-forwarded-for", "198.51.100.7"), ("traceparent", &*parent), ("tracestate", "a=1")];
    let mut expected = Vec::new();
    let mut connection = Connection::open(server.address(), Version::H1).await;
    for (verb, path, logged_path, status, reason) in [
        ("GET", "/account?token=cAnary", "/account", 401, json!("TOKEN_MISSING")),
        ("GET", "/", "page", 200, Value::Null),
        ("GET", "/cAnary", "other", 404, json!("PATH_NOT_FOUND")),
        ("PUT", "/livez", "/livez", 405, json!("METHOD_NOT_ALLOWED")),
    ] {
        let answer = connection.send(request(verb, path, &traced, "")).await;
        assert_eq!(answer.status, status);
        let traceresponse = answer.header("traceresponse");
        assert!(
            traceresponse.starts_with(&format!("00-{TRACE}-")) && traceresponse.ends_with("-01"),
            "{answer:?}"
        );
        let id = json!(answer.header("x-request-id"));
        expected.push(json!([id, "rest", verb, logged_path, status, null, reason]));
    }
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(server.address(), dialect.version()).await;
        let headers: Vec<_> = traced.into_iter().chain([("content-type", dialect.content_type())]).collect();
        let body = dialect.encode(&ListChatRoomsRequest::default());
        let answer = connection.send(request("POST", ListChatRoomsRequest::PATH, &headers, body)).await;
        let id = json!(answer.header("x-request-id"));
        let name = if dialect == Dialect::Native { "grpc" } else { "grpc-web" };
        expected.push(json!([id, name, "POST", ListChatRoomsRequest::PATH, 200, "16", "TOKEN_MISSING"]));
    }
    // Lines of other targets contain the trace id too.
    let body = json!({"user_name": new_name(), "password": WRONG}).to_string();
    let headers: Vec<_> = traced.into_iter().chain([("content-type", "application/json")]).collect();
    connection.send(request("POST", "/login", &headers, body)).await;
    let untraced = connection.send(request("GET", "/livez", &[("traceparent", "00-x")], "")).await;
    assert!(!untraced.headers.contains_key("traceresponse"));
    let log = server.kill().await;
    let lines = lines_of(&log, "access");
    let fields = ["id", "dialect", "method", "path", "status", "grpc_status", "reason"];
    let seen: Vec<Value> =
        lines.iter().map(|line| fields.iter().map(|field| line[field].clone()).collect()).collect();
    assert_eq!(seen[..expected.len()], expected, "{log}");
    assert_eq!(seen.len(), expected.len() + 2, "one line a call: {log}");
    for line in &lines[..expected.len()] {
        assert_eq!([&line["peer"], &line["trace_id"]], ["198.51.100.7", TRACE], "{line}");
        assert!(line["micros"].is_u64() && line.get("span").is_none(), "{line}");
    }
    let failed = &lines_of(&log, "audit")[0];
    assert_eq!((&failed["event"], &failed["span"]["trace_id"]), (&json!("login_failed"), &json!(TRACE)));
    assert_eq!(lines.last().unwrap()["trace_id"], Value::Null);
    assert!(!log.contains("\"spans\""), "{log}");
}

async fn an_operators_commands_are_logged_with_their_uid(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let user = server.user().await;
    let room = user.create_room().await;
    let uid = rustix::process::getuid().as_raw();
    let name = new_name();
    for (command, input, event, about) in [
        (vec!["user", "add", &name], PASSWORD, "user_added", format!("user=\"{name}\"")),
        (vec!["backup", "copy.db"], "", "backup_made", String::new()),
        (vec!["user", "disable", &name], "", "user_disabled", format!("user=\"{name}\"")),
        (vec!["user", "enable", &name], "", "user_enabled", format!("user=\"{name}\"")),
        (vec!["user", "reset-password", &name], NEW, "password_reset", format!("user=\"{name}\"")),
        (vec!["user", "delete", &name, "--yes"], "", "account_deleted", format!("user=\"{name}\"")),
        (vec!["room", "delete", &room.short_code, "--yes"], "", "room_deleted", "room=1".to_owned()),
    ] {
        if command[0] == "backup" && database.url().is_some() {
            // The command backs up SQLite only.
            continue;
        }
        let (code, _, stderr) = Process::command(&database, &folder, &command, input).await;
        let has = [format!("event=\"{event}\""), format!("uid={uid}"), about];
        let lines: Vec<&str> =
            stderr.lines().filter(|line| has.iter().all(|part| line.contains(part))).collect();
        assert_eq!((code, lines.len()), (0, 1), "{command:?}: {stderr}");
    }
    server.kill().await;
}

#[tokio::test]
async fn a_build_without_otlp_warns_that_it_exports_no_spans() {
    if cfg!(feature = "otlp") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let collector = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")];
    let mut server = Process::start(&Database::sqlite(), &folder, &collector).await;
    let line = server.says("no spans are exported").await;
    assert!(line.contains("OTEL_EXPORTER_OTLP_ENDPOINT is set") && line.contains(" WARN "), "{line}");
    server.kill().await;
}

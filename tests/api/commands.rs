//! An operator's commands while a server runs, and that the server notices their changes. Commands that need no database are in
//! `tests/program.rs`.

use std::time::Duration;

use grpcchatter_proto::v1::{
    ListMessagesRequest, ResumePoint, subscribe_request::Start, subscribe_response::Event,
};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tonic::Code;

use crate::harness::{
    Certificate, Database, PASSWORD, Process, Refused as _, User, new_name, on_each_database, promised,
};

on_each_database! {
    an_account_is_created_with_a_password_from_stdin,
    a_disabled_user_is_logged_out_within_seconds_until_enabled,
    a_reset_password_ends_all_sessions_and_replaces_the_old_one,
    rooms_are_listed_and_deleted,
    control_characters_in_a_name_do_not_reach_the_terminal,
    a_backup_during_writes_is_consistent_and_resets_clients_that_are_ahead,
    a_database_is_migrated_while_no_server_uses_it,
    a_healthcheck_reports_whether_the_server_is_ready,
    commands_reach_a_running_server_whose_certificate_file_is_broken,
}

/// Within this time a running server notices a change.
const NOTICE_DEADLINE: Duration = Duration::from_secs(5);

async fn log_in(server: &Process, name: &str, password: &str) -> u16 {
    let credentials = json!({"user_name": name, "password": password});
    server.anonymous().rest("POST", "/login", credentials).await.status.as_u16()
}

async fn an_account_is_created_with_a_password_from_stdin(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let name = new_name();
    let add = ["user", "add", &name];
    let line = format!("{PASSWORD}\n");
    let (code, _, stderr) = Process::command(&database, &folder, &add, &line).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(log_in(&server, &name, PASSWORD).await, 200);
    for (name, input, sentence) in [
        (&*name, line.as_str(), "already exists"),
        ("walker1", "weak\n", "password must"),
        ("x", &line, "user name must"),
    ] {
        let (code, _, stderr) = Process::command(&database, &folder, &["user", "add", name], input).await;
        assert_eq!((code, stderr.contains(sentence)), (65, true), "{stderr}");
    }
}

async fn a_disabled_user_is_logged_out_within_seconds_until_enabled(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let (owner, guest) = (server.user().await, server.user().await);
    let room = owner.create_room().await;
    let (stays, goes) = (owner.join(&room).await, guest.join(&room).await);
    let stream = goes.subscribe(None).await.unwrap();
    let (code, _, stderr) = Process::command(&database, &folder, &["user", "disable", &guest.name], "").await;
    assert_eq!(code, 0, "{stderr}");
    let ended = promised("the end of the stream", NOTICE_DEADLINE, stream.end()).await;
    ended.refused(Code::Unauthenticated, "TOKEN_REVOKED");
    assert_eq!(log_in(&server, &guest.name, PASSWORD).await, 401);
    assert_eq!(guest.rest("GET", "/account", Value::Null).await.status, 401);
    goes.call(ListMessagesRequest::default()).await.refused(Code::Unauthenticated, "TOKEN_REVOKED");
    stays.say("the others stay").await;
    let (code, ..) = Process::command(&database, &folder, &["user", "enable", &guest.name], "").await;
    assert_eq!((code, log_in(&server, &guest.name, PASSWORD).await), (0, 200));
    // A missing user is reported before the question whether to delete them.
    for task in ["disable", "show", "delete"] {
        let (code, _, stderr) = Process::command(&database, &folder, &["user", task, "nobody99"], "").await;
        assert_eq!((code, stderr.as_str()), (66, "grpcchatter: there is no user \"nobody99\"\n"), "{task}");
    }
    let (code, _, stderr) = Process::command(&database, &folder, &["user", "delete", &owner.name], "").await;
    assert_eq!((code, stderr.contains("owns rooms")), (65, true), "{stderr}");
    let (code, _, stderr) = Process::command(&database, &folder, &["user", "delete", &guest.name], "").await;
    assert_eq!((code, stderr.contains("--yes")), (64, true), "there is no terminal to ask: {stderr}");
}

async fn a_reset_password_ends_all_sessions_and_replaces_the_old_one(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let user = server.user().await;
    let new = "cAnary-An0ther!";
    let reset = ["user", "reset-password", &user.name];
    let (code, _, stderr) = Process::command(&database, &folder, &reset, new).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(user.rest("GET", "/account", Value::Null).await.status, 401);
    assert_eq!(log_in(&server, &user.name, PASSWORD).await, 401);
    assert_eq!(log_in(&server, &user.name, new).await, 200);
}

async fn rooms_are_listed_and_deleted(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let owner = server.user().await;
    let (kept, gone) = (owner.create_room().await, owner.create_room().await);
    let member = owner.join(&gone).await;
    member.say("hello").await;
    let stream = member.subscribe(None).await.unwrap();
    let list = async || {
        let (code, listed, stderr) =
            Process::command(&database, &folder, &["room", "list", "--json"], "").await;
        assert_eq!(code, 0, "{stderr}");
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let row = |code: &str, last_seq: i64| {
        let id = if code == kept.short_code { 1 } else { 2 };
        json!({"id": id, "short_code": code, "name": gone.name, "owner": owner.name, "last_seq": last_seq})
    };
    assert_eq!(list().await, [row(&kept.short_code, 0), row(&gone.short_code, 1)]);
    let (_, table, _) = Process::command(&database, &folder, &["room", "list"], "").await;
    assert_eq!(table.lines().next(), Some("CODE\tOWNER\tMESSAGES\tNAME\tID"));
    assert!(
        table.contains(&format!("{}\t{}\t1\t{}\t2\n", gone.short_code, owner.name, gone.name)),
        "{table}"
    );

    let delete = ["room", "delete", &gone.short_code];
    let (code, _, stderr) = Process::command(&database, &folder, &delete, "y\n").await;
    assert_eq!((code, stderr.contains("--yes")), (64, true), "there is no terminal to ask: {stderr}");
    assert_eq!(list().await.len(), 2, "nothing was deleted");
    let delete = ["room", "delete", &gone.short_code, "--yes"];
    assert_eq!(Process::command(&database, &folder, &delete, "").await.0, 0);
    let ended = promised("the end of the stream", NOTICE_DEADLINE, stream.end()).await;
    ended.refused(Code::NotFound, "ROOM_NOT_FOUND");
    assert_eq!(list().await, [row(&kept.short_code, 0)]);
    for delete in [&delete[..], &delete[..3]] {
        let (code, _, stderr) = Process::command(&database, &folder, delete, "").await;
        let expected = format!("grpcchatter: there is no room with the short code {:?}\n", gone.short_code);
        assert_eq!((code, stderr), (66, expected));
    }
}

async fn control_characters_in_a_name_do_not_reach_the_terminal(database: Database) {
    const OLD: &str = "walker1\u{1b}[2J\nroot9\t\u{202e}txt";
    const SHOWN: &str = "walker1<U+001B>[2J<U+000A>root9<U+0009><U+202E>txt";
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let owner = server.user().await;
    let room = owner.create_room().await;
    // Only an older version accepted such a name.
    let operator = database.operator(folder.path()).await;
    for statement in [
        format!("UPDATE accounts SET user_name = '{OLD}' WHERE user_name = '{}'", owner.name),
        format!("UPDATE rooms SET name = '{OLD}'"),
    ] {
        operator.execute_unprepared(&statement).await.unwrap();
    }
    operator.close().await.unwrap();
    let (code, listed, stderr) = Process::command(&database, &folder, &["room", "list"], "").await;
    let row = format!("{}\t{SHOWN}\t0\t{SHOWN}\t1", room.short_code);
    assert_eq!((code, listed.lines().nth(1), listed.lines().count()), (0, Some(&*row), 2), "{stderr}");
    let (_, people, _) = Process::command(&database, &folder, &["user", "list"], "").await;
    assert_eq!((people.lines().count(), people.contains(SHOWN)), (2, true), "{people}");
    let (_, json, _) = Process::command(&database, &folder, &["room", "list", "--json"], "").await;
    assert!(!json.trim_end().contains(char::is_control), "{json:?}");
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["owner"], OLD);
    // An operator can still name this user.
    for (task, status) in [("disable", 401), ("enable", 200)] {
        let (code, stdout, stderr) = Process::command(&database, &folder, &["user", task, OLD], "").await;
        assert_eq!((code, log_in(&server, OLD, PASSWORD).await), (0, status), "{stderr}");
        assert!(!(stdout + &stderr).contains(['\u{1b}', '\u{202e}']));
    }
    let reset = ["user", "reset-password", OLD];
    assert_eq!(Process::command(&database, &folder, &reset, "cAnary-An0ther!").await.0, 0);
    assert_eq!(log_in(&server, OLD, "cAnary-An0ther!").await, 200);
    let log = server.kill().await;
    assert!(!log.contains(['\u{1b}', '\u{202e}']), "a name put control characters into the log: {log}");
}

async fn a_backup_during_writes_is_consistent_and_resets_clients_that_are_ahead(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let before = member.say("before").await;
    let (stop, mut stopped) = oneshot::channel::<()>();
    let author = member.clone();
    let writing = tokio::spawn(async move {
        while stopped.try_recv().is_err() {
            author.say("meanwhile").await;
        }
    });
    let (code, _, stderr) = Process::command(&database, &folder, &["backup", "copy.db"], "").await;
    stop.send(()).unwrap();
    writing.await.unwrap();
    if database.url().is_some() {
        assert_eq!((code, stderr.contains("pg_dump")), (64, true), "{stderr}");
        return;
    }
    assert_eq!(code, 0, "{stderr}");
    let newest = member.say("the newest").await;
    assert_eq!(
        Process::command(&database, &folder, &["backup", "copy.db"], "").await.0,
        73,
        "the file exists"
    );
    server.kill().await;

    let restored = TempDir::new().unwrap();
    std::fs::copy(folder.path().join("copy.db"), restored.path().join("grpcchatter.db")).unwrap();
    let server = Process::start(&database, &restored, &[]).await;
    let member = member.at(server.address());
    for (known, reset) in [(&before, false), (&newest, true)] {
        let point = ResumePoint { seq: known.seq, message_id: known.message_id.clone() };
        let mut stream = member.subscribe(Some(Start::After(point))).await.unwrap();
        let Event::Subscribed(subscribed) = stream.next().await else { panic!("the first is `subscribed`") };
        assert_eq!(subscribed.reset, reset, "{known:?}");
    }
    // The log has no gap up to the end of the copy, and continues there.
    let page = member.call(ListMessagesRequest { after_seq: Some(0), page_size: 200, ..Default::default() });
    let seqs: Vec<i64> = page.await.unwrap().messages.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, (1..=i64::try_from(seqs.len()).unwrap()).collect::<Vec<_>>());
    assert!(member.say("it goes on").await.seq <= newest.seq);
    User::log_in(&server.anonymous(), &user.name, PASSWORD).await;
}

async fn a_database_is_migrated_while_no_server_uses_it(database: Database) {
    let folder = TempDir::new().unwrap();
    let list = ["room", "list"];
    let (code, _, stderr) = Process::command(&database, &folder, &list, "").await;
    assert_eq!(code, 69, "there is no database yet: {stderr}");
    for is_migrated in [true, false] {
        let (code, _, stderr) = Process::command(&database, &folder, &["migrate"], "").await;
        assert_eq!((code, stderr.contains("migrated the database")), (0, is_migrated), "{stderr}");
    }
    assert_eq!(Process::command(&database, &folder, &list, "").await.0, 0);
    let server = Process::start(&database, &folder, &[]).await;
    assert_eq!(Process::command(&database, &folder, &["migrate"], "").await.0, 75);
    server.kill().await;
}

async fn a_healthcheck_reports_whether_the_server_is_ready(database: Database) {
    let (folder, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [cert, key] = Certificate::trusted().write(files.path());
    for settings in [vec![], vec![(cert.0, cert.1.as_str()), (key.0, key.1.as_str())]] {
        let server = Process::start(&database, &folder, &settings).await;
        let port = server.address().port().to_string();
        let mut check = vec!["healthcheck", "--server-port", &port];
        if !settings.is_empty() {
            check.extend(["--tls-cert", &cert.1, "--tls-key", &key.1]);
        }
        let (code, _, stderr) = Process::command(&database, &folder, &check, "").await;
        assert_eq!(code, 0, "{stderr}");
        server.kill().await;
        let (code, _, stderr) = Process::command(&database, &folder, &check, "").await;
        assert_eq!((code, stderr.contains("is not ready")), (69, true), "{stderr}");
    }
}

async fn commands_reach_a_running_server_whose_certificate_file_is_broken(database: Database) {
    let (folder, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [cert, key] = Certificate::trusted().write(files.path());
    let server = Process::start(&database, &folder, &[(cert.0, &cert.1), (key.0, &key.1)]).await;
    std::fs::write(&cert.1, "spoiled").unwrap();
    let port = server.address().port();
    let settings = format!("SERVER_PORT={port}\nTLS_CERT={}\nTLS_KEY={}\n", cert.1, key.1);
    let file = files.path().join("settings.env");
    std::fs::write(&file, settings).unwrap();
    let file = file.to_str().unwrap();
    let name = new_name();
    // The environment names another port, but a flag overrides it.
    let port = port.to_string();
    for (command, expected) in [
        (&["check-config", "--config", file][..], 64),
        (&["healthcheck", "--config", file, "--server-port", &port], 0),
        (&["user", "add", &name, "--config", file], 0),
        (&["user", "disable", &name, "--config", file], 0),
        (&["room", "list", "--config", file], 0),
    ] {
        let (code, _, stderr) = Process::command(&database, &folder, command, PASSWORD).await;
        assert_eq!(code, expected, "{command:?}: {stderr}");
    }
    server.kill().await;
}

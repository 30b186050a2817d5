//! An operator's commands that list, show and delete accounts, and check the database, while a server runs.

use std::time::Duration;

use grpcchatter_proto::v1::{subscribe_request::Start, subscribe_response::Event};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

use crate::harness::{Database, PASSWORD, Process, Refused as _, on_each_database, promised, within};

on_each_database! {
    accounts_are_listed_and_shown,
    a_running_server_notices_that_an_account_was_deleted,
    check_config_connects_to_the_database_and_changes_nothing,
}

/// Within this time a running server notices a change.
const NOTICE_DEADLINE: Duration = Duration::from_secs(5);

async fn accounts_are_listed_and_shown(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let (owner, guest) = (server.user().await, server.user().await);
    let room = owner.create_room().await;
    let run = async |arguments: &[&str]| {
        let (code, stdout, stderr) = Process::command(&database, &folder, arguments, "").await;
        assert_eq!(code, 0, "{stderr}");
        stdout
    };
    run(&["user", "disable", &guest.name]).await;
    let list = run(&["user", "list", "--json"]).await;
    let list: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = list
        .iter()
        .map(|one| {
            json!([
                one["user_name"],
                one["role"],
                one["rooms"],
                one["sessions"],
                one["disabled_at"].is_null()
            ])
        })
        .collect();
    assert_eq!(seen, [json!([owner.name, "USER", 1, 1, true]), json!([guest.name, "USER", 0, 0, false])]);
    let created = list[0]["created_at"].as_str().unwrap();
    let table = run(&["user", "list"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "USER\tCREATED\tSTATE\tROOMS\tSESSIONS");
    assert_eq!(lines[1], format!("{}\t{created}\tactive\t1\t1", owner.name));
    assert!(lines[2].ends_with("\tdisabled\t0\t0"), "{table}");

    let shown: Value = serde_json::from_str(&run(&["user", "show", &owner.name, "--json"]).await).unwrap();
    let rooms = json!([{"short_code": room.short_code, "name": room.name, "last_seq": 0}]);
    assert_eq!((&shown["rooms"], &shown["created_at"]), (&rooms, &list[0]["created_at"]));
    let shown = run(&["user", "show", &owner.name]).await;
    assert!(shown.contains(&format!("room\t{}\t{}\n", room.short_code, room.name)), "{shown}");
    let (code, _, stderr) = Process::command(&database, &folder, &["user", "show", "nobody99"], "").await;
    assert_eq!(code, 66, "{stderr}");
}

async fn a_running_server_notices_that_an_account_was_deleted(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let (owner, guest) = (server.user().await, server.user().await);
    let room = owner.create_room().await;
    let (stays, goes) = (owner.join(&room).await, guest.join(&room).await);
    let stream = goes.subscribe(None).await.unwrap();
    let _kept_open = stays.subscribe(None).await.unwrap();
    goes.say("hello").await;
    let delete = async |name: &str, more: &[&str]| {
        let arguments: Vec<&str> = ["user", "delete", name].iter().chain(more).copied().collect();
        Process::command(&database, &folder, &arguments, "").await
    };
    let (code, _, stderr) = delete(&guest.name, &[]).await;
    assert_eq!((code, stderr.contains("--yes")), (64, true), "there is no terminal to ask: {stderr}");
    let (code, _, stderr) = delete(&owner.name, &["--yes"]).await;
    assert_eq!((code, stderr.contains("still owns rooms")), (65, true), "{stderr}");
    let (code, _, stderr) = delete(&guest.name, &["--yes"]).await;
    assert_eq!(code, 0, "{stderr}");
    let ended = promised("the end of the stream", NOTICE_DEADLINE, stream.end()).await;
    ended.refused(Code::Unauthenticated, "TOKEN_REVOKED");
    let credentials = json!({"user_name": guest.name, "password": PASSWORD});
    assert_eq!(server.anonymous().rest("POST", "/login", credentials).await.status, 401);
    // The room's messages in memory were encoded with the name.
    let gone = async {
        loop {
            let mut again = stays.subscribe(Some(Start::Last(1))).await.unwrap();
            let author = loop {
                if let Event::Message(message) = again.next().await {
                    break message.user_name;
                }
            };
            if author.is_empty() {
                return;
            }
            assert_eq!(author, guest.name);
        }
    };
    within("the removal of the name", gone).await;
    assert_eq!(delete(&guest.name, &["--yes"]).await.0, 66);
}

async fn check_config_connects_to_the_database_and_changes_nothing(database: Database) {
    let folder = TempDir::new().unwrap();
    let check = async || {
        let (code, stdout, stderr) =
            Process::command(&database, &folder, &["check-config", "--connect"], "").await;
        (code, stdout + &stderr)
    };
    let (code, stdout) = check().await;
    assert_eq!(code, 0, "{stdout}");
    assert!(
        stdout.contains("the server makes it") || stdout.contains("the server brings it to this one"),
        "{stdout}"
    );
    let (code, ..) = Process::command(&database, &folder, &["user", "list"], "").await;
    assert_eq!(code, 69, "the database was not migrated");
    let server = Process::start(&database, &folder, &[]).await;
    let (code, stdout) = check().await;
    assert_eq!((code, stdout.contains("can be served from")), (0, true), "while a server runs: {stdout}");
    let operator = database.operator(folder.path()).await;
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)";
    operator.execute_unprepared(newer).await.unwrap();
    operator.close().await.unwrap();
    let (code, stdout) = check().await;
    assert_eq!((code, stdout.contains("newer version")), (69, true), "{stdout}");
    server.kill().await;
}

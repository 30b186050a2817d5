//! What an operator learns of accounts beside a running server, and how one is deleted.

use std::time::Duration;

use grpcchatter_proto::v1::{subscribe_request::Start, subscribe_response::Event};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

use crate::harness::{Database, PASSWORD, Process, Refused as _, on_each_database, promised, within};

on_each_database! {
    accounts_are_listed_and_shown,
    a_deleted_account_is_forgotten_by_a_running_server,
    a_check_looks_at_the_database_and_changes_nothing,
}

/// How soon a running server has noticed.
const SOON: Duration = Duration::from_secs(5);

async fn accounts_are_listed_and_shown(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let (owner, guest) = (server.user().await, server.user().await);
    let room = owner.create_room().await;
    let run = async |arguments: &[&str]| {
        let (code, said, told) = Process::command(&database, &folder, arguments, "").await;
        assert_eq!(code, 0, "{told}");
        said
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
    let (code, _, told) = Process::command(&database, &folder, &["user", "show", "nobody99"], "").await;
    assert_eq!(code, 66, "{told}");
}

async fn a_deleted_account_is_forgotten_by_a_running_server(database: Database) {
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
    let (code, _, told) = delete(&guest.name, &[]).await;
    assert_eq!((code, told.contains("--yes")), (64, true), "nobody can be asked: {told}");
    let (code, _, told) = delete(&owner.name, &["--yes"]).await;
    assert_eq!((code, told.contains("still owns rooms")), (65, true), "{told}");
    let (code, _, told) = delete(&guest.name, &["--yes"]).await;
    assert_eq!(code, 0, "{told}");
    let ended = promised("the end of the stream", SOON, stream.end()).await;
    ended.refused(Code::Unauthenticated, "TOKEN_REVOKED");
    let credentials = json!({"user_name": guest.name, "password": PASSWORD});
    assert_eq!(server.anonymous().rest("POST", "/login", credentials).await.status, 401);
    // What the room has in memory was framed with the name.
    let forgotten = async {
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
    within("the name to be forgotten", forgotten).await;
    assert_eq!(delete(&guest.name, &["--yes"]).await.0, 66);
}

async fn a_check_looks_at_the_database_and_changes_nothing(database: Database) {
    let folder = TempDir::new().unwrap();
    let check = async || {
        let (code, said, told) =
            Process::command(&database, &folder, &["check-config", "--connect"], "").await;
        (code, said + &told)
    };
    let (code, said) = check().await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("the server makes it") || said.contains("the server brings it to this one"),
        "{said}"
    );
    let (code, ..) = Process::command(&database, &folder, &["user", "list"], "").await;
    assert_eq!(code, 69, "it was not migrated");
    let server = Process::start(&database, &folder, &[]).await;
    let (code, said) = check().await;
    assert_eq!((code, said.contains("can be served from")), (0, true), "beside a server: {said}");
    let operator = database.operator(folder.path()).await;
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)";
    operator.execute_unprepared(newer).await.unwrap();
    operator.close().await.unwrap();
    let (code, said) = check().await;
    assert_eq!((code, said.contains("newer version")), (69, true), "{said}");
    server.kill().await;
}

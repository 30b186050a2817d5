//! Failed starts: the exit code, on which scripts rely, and the sentence that says what is wrong. Those that need no database are in
//! `tests/program.rs`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use grpcchatter_proto::v1::ListMessagesRequest;
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

use crate::harness::{Database, PASSWORD, Process, TestApp, User, on_each_database};

on_each_database! {
    the_database_of_a_newer_version_exits_with_69,
    the_database_of_another_program_exits_with_69_and_stays_unchanged,
    an_existing_database_is_opened_again,
    a_missing_database_exits_with_69,
    a_well_known_secret_exits_with_64,
    a_read_only_folder_exits_with_73,
    a_second_server_exits_with_75_and_changes_nothing,
    files_are_private_in_a_folder_that_is_open_to_all,
}

async fn the_database_of_a_newer_version_exits_with_69(database: Database) {
    let folder = TestApp::start(&database).await.stop().await;
    let connection = database.operator(folder.path()).await;
    let step = "m20991231_000000_from_the_future";
    let insert = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{step}', 0)");
    connection.execute_unprepared(&insert).await.unwrap();
    connection.close().await.unwrap();
    let (code, stderr) = Process::fail(&database, &folder, &[]).await;
    assert_eq!((code, stderr.contains(step)), (69, true), "{stderr}");
}

/// Other programs with the same migration library have a table of the same name.
async fn the_database_of_another_program_exits_with_69_and_stays_unchanged(database: Database) {
    let steps = "CREATE TABLE seaql_migrations (version TEXT PRIMARY KEY, applied_at BIGINT);
        INSERT INTO seaql_migrations VALUES ('m20220101_create_posts', 0)";
    for (made, expected) in [
        (steps, "another program's step m20220101_create_posts"),
        ("CREATE TABLE accounts (id BIGINT)", "a table accounts"),
    ] {
        let (database, folder) = (database.another().await, TempDir::new().unwrap());
        let place = match database.url() {
            Some(_) => "the database at ".to_owned(),
            None => format!("the database at {}/grpcchatter.db ", folder.path().display()),
        };
        let theirs = database.operator(folder.path()).await;
        theirs.execute_unprepared(made).await.unwrap();
        let (code, stderr) = Process::fail(&database, &folder, &[]).await;
        assert_eq!(
            (
                code,
                stderr.contains("it is not GRPCChatter's"),
                stderr.contains(expected),
                stderr.contains(&place)
            ),
            (69, true, true, true),
            "{stderr}"
        );
        let (code, _, stderr) = Process::command(&database, &folder, &["room", "list"], "").await;
        assert_eq!((code, stderr.contains("it is not GRPCChatter's")), (69, true), "{stderr}");
        assert!(
            theirs.execute_unprepared("SELECT 1 FROM rooms").await.is_err(),
            "no table was created in it"
        );
        theirs.close().await.unwrap();
    }
}

async fn an_existing_database_is_opened_again(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let room = user.create_room().await;
    let stderr = user.join(&room).await.say("before").await;
    let app = TestApp::on(&database, app.stop().await, &[]).await;
    let member = User::log_in(&app.anonymous(), &user.name, PASSWORD).await;
    let after = member.join(&room).await.say("after").await;
    assert_eq!((stderr.seq, after.seq), (1, 2));
}

async fn a_missing_database_exits_with_69(database: Database) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("no-database");
    std::fs::write(&file, "this is no database, though it is long enough to be looked at".repeat(100))
        .unwrap();
    let no_database = format!("sqlite://{}", file.display());
    for url in ["postgres://nobody@127.0.0.1:1/nothing?sslmode=disable", &no_database] {
        let (code, stderr) = Process::fail(&database, &folder, &[("DATABASE_URL", url)]).await;
        assert_eq!(code, 69, "{stderr}");
    }
}

async fn a_well_known_secret_exits_with_64(database: Database) {
    let folder = TempDir::new().unwrap();
    for secret in ["12345678901234567890123456789012", "short"] {
        let (code, stderr) = Process::fail(&database, &folder, &[("SECRET", secret)]).await;
        assert_eq!((code, stderr.contains("SECRET")), (64, true), "{stderr}");
        assert!(!stderr.contains(secret), "{stderr}");
    }
}

/// Sets the permissions of a file or folder.
fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn a_read_only_folder_exits_with_73(database: Database) {
    type Spoil = fn(&Path);
    let mut cases: Vec<(&str, Spoil)> = vec![("the folder", |folder| chmod(folder, 0o555))];
    let mut settings = Vec::new();
    // PostgreSQL needs a configured secret, so there is no secret file in the folder.
    if database.url().is_none() {
        settings.push(("SECRET", ""));
        cases.push(("its secret", |folder| {
            fs::write(folder.join("secret"), "a secret that somebody else has written there").unwrap();
            chmod(&folder.join("secret"), 0);
        }));
        cases.push(("the draft of its secret", |folder| fs::create_dir(folder.join("secret.new")).unwrap()));
    }
    for (what, spoil) in cases {
        let folder = TempDir::new().unwrap();
        chmod(folder.path(), 0o777);
        spoil(folder.path());
        let (code, stderr) = Process::fail_unprivileged(&database, &folder, &settings).await;
        assert_eq!((code, stderr.contains("cannot be used: ")), (73, true), "{what}: {stderr}");
        assert!(stderr.contains("make it writable, or set DATA_DIR"), "{what}: {stderr}");
        assert!(!stderr.contains("panicked"), "{what}: {stderr}");
    }
    if database.url().is_some() {
        return;
    }
    // Only the database's file: its content stays.
    let folder = TestApp::start(&database).await.stop().await;
    chmod(folder.path(), 0o777);
    let file = folder.path().join("grpcchatter.db");
    for name in ["lock", "secret"].map(|name| folder.path().join(name)).iter().filter(|name| name.exists()) {
        chmod(name, 0o666);
    }
    chmod(&file, 0o444);
    let before = fs::read(&file).unwrap();
    let (code, stderr) = Process::fail_unprivileged(&database, &folder, &[]).await;
    assert_eq!((code, stderr.contains("panicked")), (69, false), "{stderr}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

async fn a_second_server_exits_with_75_and_changes_nothing(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let before = member.say("before").await;
    let (code, stderr) = Process::fail(&database, &folder, &[]).await;
    assert_eq!((code, stderr.contains("another process is using the data folder")), (75, true), "{stderr}");
    let (port, elsewhere) = (server.address().port().to_string(), TempDir::new().unwrap());
    let other = database.another().await;
    let (code, stderr) = Process::fail(&other, &elsewhere, &[("SERVER_PORT", &port)]).await;
    assert_eq!((code, stderr.contains("cannot be listened on")), (75, true), "{stderr}");
    let log = ListMessagesRequest { after_seq: Some(0), ..Default::default() };
    assert_eq!(member.call(log).await.unwrap().messages, [before]);
    assert_eq!(member.say("after").await.seq, 2);
    server.kill().await;
}

async fn files_are_private_in_a_folder_that_is_open_to_all(database: Database) {
    // An empty setting counts as unset. Without a secret one is generated, except with PostgreSQL, which needs a configured one.
    let settings: &[(&str, &str)] = if database.url().is_some() { &[] } else { &[("SECRET", "")] };
    let (folder, others) = (TempDir::new().unwrap(), "others on this machine may open the data folder");
    for (folder_mode, warns) in [(0o755, true), (0o700, false)] {
        chmod(folder.path(), folder_mode);
        let server = Process::start(&database, &folder, settings).await;
        let member = server.user().await;
        member.join(&member.create_room().await).await.say("so that there is a journal").await;
        let mut seen = Vec::new();
        for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?} is open to others: {mode:o}", entry.path());
            seen.push(entry.file_name().into_string().unwrap());
        }
        seen.sort();
        let sqlite = ["grpcchatter.db", "grpcchatter.db-shm", "grpcchatter.db-wal", "lock", "secret"];
        assert_eq!(seen, if database.url().is_some() { &sqlite[3..4] } else { &sqlite[..] });
        let stderr = server.kill().await;
        assert_eq!(stderr.contains(others), warns, "{stderr}");
        assert_eq!(stderr.contains("chmod 700"), warns, "{stderr}");
        // The permissions that older versions gave them.
        for name in seen.iter().filter(|name| *name != "secret") {
            chmod(&folder.path().join(name), 0o644);
        }
    }
}

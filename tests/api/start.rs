//! Starting where it cannot serve: the exit code that scripts rely on, and a sentence that says what is wrong.
//! What needs no database is in `tests/program.rs`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use grpcchatter_proto::v1::ListMessagesRequest;
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

use crate::harness::{Database, PASSWORD, Process, TestApp, User, on_each_database};

on_each_database! {
    a_database_of_a_newer_program_ends_with_69,
    a_database_of_another_program_ends_with_69_and_is_left_alone,
    a_database_of_this_program_is_opened_again,
    a_database_that_is_not_there_ends_with_69,
    a_secret_that_everybody_knows_ends_with_64,
    a_folder_that_cannot_be_written_ends_with_73,
    a_second_server_ends_with_75_and_harms_nothing,
    its_files_are_its_own_in_a_folder_that_all_may_open,
}

async fn a_database_of_a_newer_program_ends_with_69(database: Database) {
    let folder = TestApp::start(&database).await.stop().await;
    let connection = database.operator(folder.path()).await;
    let step = "m20991231_000000_from_the_future";
    let insert = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{step}', 0)");
    connection.execute_unprepared(&insert).await.unwrap();
    connection.close().await.unwrap();
    let (code, said) = Process::fail(&database, &folder, &[]).await;
    assert_eq!((code, said.contains(step)), (69, true), "{said}");
}

/// Programs of the same library keep their steps in a table of the same name.
async fn a_database_of_another_program_ends_with_69_and_is_left_alone(database: Database) {
    let steps = "CREATE TABLE seaql_migrations (version TEXT PRIMARY KEY, applied_at BIGINT);
        INSERT INTO seaql_migrations VALUES ('m20220101_create_posts', 0)";
    for (made, tells) in [
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
        let (code, said) = Process::fail(&database, &folder, &[]).await;
        assert_eq!(
            (code, said.contains("it is not GRPCChatter's"), said.contains(tells), said.contains(&place)),
            (69, true, true, true),
            "{said}"
        );
        let (code, _, said) = Process::command(&database, &folder, &["room", "list"], "").await;
        assert_eq!((code, said.contains("it is not GRPCChatter's")), (69, true), "{said}");
        assert!(theirs.execute_unprepared("SELECT 1 FROM rooms").await.is_err(), "nothing was made in it");
        theirs.close().await.unwrap();
    }
}

async fn a_database_of_this_program_is_opened_again(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let room = user.create_room().await;
    let said = user.join(&room).await.say("before").await;
    let app = TestApp::on(&database, app.stop().await, &[]).await;
    let member = User::log_in(&app.anonymous(), &user.name, PASSWORD).await;
    let after = member.join(&room).await.say("after").await;
    assert_eq!((said.seq, after.seq), (1, 2));
}

async fn a_database_that_is_not_there_ends_with_69(database: Database) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("no-database");
    std::fs::write(&file, "this is no database, though it is long enough to be looked at".repeat(100))
        .unwrap();
    let no_database = format!("sqlite://{}", file.display());
    for url in ["postgres://nobody@127.0.0.1:1/nothing?sslmode=disable", &no_database] {
        let (code, said) = Process::fail(&database, &folder, &[("DATABASE_URL", url)]).await;
        assert_eq!(code, 69, "{said}");
    }
}

async fn a_secret_that_everybody_knows_ends_with_64(database: Database) {
    let folder = TempDir::new().unwrap();
    for secret in ["12345678901234567890123456789012", "short"] {
        let (code, said) = Process::fail(&database, &folder, &[("SECRET", secret)]).await;
        assert_eq!((code, said.contains("SECRET")), (64, true), "{said}");
        assert!(!said.contains(secret), "{said}");
    }
}

/// Lets others do so much with a file or folder.
fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn a_folder_that_cannot_be_written_ends_with_73(database: Database) {
    type Spoil = fn(&Path);
    let mut cases: Vec<(&str, Spoil)> = vec![("the folder", |folder| allow(folder, 0o555))];
    let mut settings = Vec::new();
    // On PostgreSQL the secret must be given, so that none is kept in the folder.
    if database.url().is_none() {
        settings.push(("SECRET", ""));
        cases.push(("its secret", |folder| {
            fs::write(folder.join("secret"), "a secret that somebody else has written there").unwrap();
            allow(&folder.join("secret"), 0);
        }));
        cases.push(("the draft of its secret", |folder| fs::create_dir(folder.join("secret.new")).unwrap()));
    }
    for (what, spoil) in cases {
        let folder = TempDir::new().unwrap();
        allow(folder.path(), 0o777);
        spoil(folder.path());
        let (code, said) = Process::fail_unprivileged(&database, &folder, &settings).await;
        assert_eq!((code, said.contains("cannot be used: ")), (73, true), "{what}: {said}");
        assert!(said.contains("make it writable, or set DATA_DIR"), "{what}: {said}");
        assert!(!said.contains("panicked"), "{what}: {said}");
    }
    if database.url().is_some() {
        return;
    }
    // The database alone: what it holds is still there afterwards.
    let folder = TestApp::start(&database).await.stop().await;
    allow(folder.path(), 0o777);
    let file = folder.path().join("grpcchatter.db");
    for name in ["lock", "secret"].map(|name| folder.path().join(name)).iter().filter(|name| name.exists()) {
        allow(name, 0o666);
    }
    allow(&file, 0o444);
    let before = fs::read(&file).unwrap();
    let (code, said) = Process::fail_unprivileged(&database, &folder, &[]).await;
    assert_eq!((code, said.contains("panicked")), (69, false), "{said}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

async fn a_second_server_ends_with_75_and_harms_nothing(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let before = member.say("before").await;
    let (code, said) = Process::fail(&database, &folder, &[]).await;
    assert_eq!((code, said.contains("another process is using the data folder")), (75, true), "{said}");
    let (port, elsewhere) = (server.address().port().to_string(), TempDir::new().unwrap());
    let other = database.another().await;
    let (code, said) = Process::fail(&other, &elsewhere, &[("SERVER_PORT", &port)]).await;
    assert_eq!((code, said.contains("cannot be listened on")), (75, true), "{said}");
    let log = ListMessagesRequest { after_seq: Some(0), ..Default::default() };
    assert_eq!(member.call(log).await.unwrap().messages, [before]);
    assert_eq!(member.say("after").await.seq, 2);
    server.kill().await;
}

async fn its_files_are_its_own_in_a_folder_that_all_may_open(database: Database) {
    // A setting that is empty counts as unset: the secret is made, but for PostgreSQL, which asks for one.
    let settings: &[(&str, &str)] = if database.url().is_some() { &[] } else { &[("SECRET", "")] };
    let (folder, others) = (TempDir::new().unwrap(), "others on this machine may open the data folder");
    for (folder_mode, warns) in [(0o755, true), (0o700, false)] {
        allow(folder.path(), folder_mode);
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
        let said = server.kill().await;
        assert_eq!(said.contains(others), warns, "{said}");
        assert_eq!(said.contains("chmod 700"), warns, "{said}");
        // As an older version left them.
        for name in seen.iter().filter(|name| *name != "secret") {
            allow(&folder.path().join(name), 0o644);
        }
    }
}

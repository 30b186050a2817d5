//! Starting where it cannot serve: the exit code that scripts rely on, and a sentence that says what is wrong.
//! What needs no database is in `tests/program.rs`.

use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

use crate::harness::{Database, PASSWORD, Process, TestApp, User, on_each_database};

on_each_database! {
    a_database_of_a_newer_program_ends_with_69,
    a_database_of_this_program_is_opened_again,
    a_database_that_is_not_there_ends_with_69,
    a_secret_that_everybody_knows_ends_with_64,
}

async fn a_database_of_a_newer_program_ends_with_69(database: Database) {
    let folder = TestApp::start(&database).await.stop().await;
    let url = match database.url() {
        Some(url) => url.to_owned(),
        None => format!("sqlite://{}/grpcchatter.db", folder.path().display()),
    };
    let connection = sea_orm::Database::connect(url).await.unwrap();
    let step = "m20991231_000000_from_the_future";
    let insert = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{step}', 0)");
    connection.execute_unprepared(&insert).await.unwrap();
    connection.close().await.unwrap();
    let (code, said) = Process::fail(&database, &folder, &[]).await;
    assert_eq!((code, said.contains(step)), (69, true), "{said}");
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

//! Replacing the original: its accounts log in with their passwords, and its settings file is read.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
};

use grpcchatter_testbed::ReservedPort;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Caller, Database, PASSWORD, Process, SECRET, TestApp, User, on_postgres};

on_postgres! {
    accounts_of_the_original_log_in_and_their_hashes_are_replaced,
    names_that_differ_only_in_case_stay_two_accounts,
    a_name_that_is_taken_is_not_imported,
    the_originals_settings_file_works_after_a_secret_is_added,
    tables_that_are_not_the_originals_stay_unchanged,
}

/// The tables of the original's database.
const ORIGINAL: &str = "
    CREATE TABLE roles (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name VARCHAR(255) UNIQUE NOT NULL);
    INSERT INTO roles (name) VALUES ('USER'), ('ADMIN');
    CREATE TABLE users (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
        username VARCHAR(255) UNIQUE NOT NULL,
        password VARCHAR(255) NOT NULL,
        role_id BIGINT REFERENCES roles (id) DEFAULT 1);";

/// The original's settings file. A test replaces what depends on the machine: the ports and the database's address.
const SETTINGS: &str = "DATABASE_URL=postgres://postgres:postgres@database:5432/postgres?sslmode=disable\n\
    REST_SERVER_ADDRESS=0.0.0.0\nREST_SERVER_PORT=8080\nGRPC_SERVER_ADDRESS=0.0.0.0\nGRPC_SERVER_PORT=5050\n\
    TOKEN_DURATION=10m\nSECRET=12345678901234567890123456789012\nSHORT_CODE_LENGTH=6\n\
    MAX_MESSAGE_QUEUE_SIZE=255\n";

/// Registers a user with the original.
async fn register(original: &DatabaseConnection, name: &str, password: &str, role: i64) {
    let hash = bcrypt::hash(password, 4).unwrap();
    let insert = format!(
        "INSERT INTO users (created_at, username, password, role_id) \
         VALUES ('2023-10-01 12:00:00.15259+02', '{name}', '{hash}', {role})"
    );
    original.execute_unprepared(&insert).await.unwrap();
}

/// Returns the only text that a query finds.
async fn text(connection: &DatabaseConnection, query: &str) -> String {
    let statement = Statement::from_string(connection.get_database_backend(), query);
    connection.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

async fn logs_in(caller: &Caller, name: &str, password: &str) -> bool {
    let answer = caller.rest("POST", "/login", json!({"user_name": name, "password": password})).await;
    assert!([200, 401].contains(&answer.status.as_u16()), "{answer:?}");
    answer.status == 200
}

async fn accounts_of_the_original_log_in_and_their_hashes_are_replaced(database: Database) {
    let original = database.connect().await;
    original.execute_unprepared(ORIGINAL).await.unwrap();
    register(&original, "walker20457", PASSWORD, 1).await;
    register(&original, "keeper20457", PASSWORD, 2).await;
    let before = text(&original, "SELECT string_agg(u::text, ';' ORDER BY id) FROM users u").await;

    let app = TestApp::start(&database).await;
    let hash = "SELECT password_hash FROM accounts WHERE user_name = 'walker20457'";
    assert!(text(&original, hash).await.starts_with("$2"), "as it was");
    assert!(!logs_in(&app.anonymous(), "walker20457", "Wr0ng-password!").await);
    for _ in 0..2 {
        let user = User::log_in(&app.anonymous(), "walker20457", PASSWORD).await;
        assert!(text(&original, hash).await.starts_with("$argon2id$"), "hashed anew");
        let account = user.rest("GET", "/account", Value::Null).await.json();
        assert_eq!(
            (&account["created_at"], &account["role"]),
            (&json!("2023-10-01T10:00:00.15259Z"), &json!("USER"))
        );
        user.join(&user.create_room().await).await.say("at home").await;
    }
    let keeper = User::log_in(&app.anonymous(), "keeper20457", PASSWORD).await;
    assert_eq!(keeper.rest("GET", "/account", Value::Null).await.json()["role"], "ADMIN");
    // The original's table is unchanged, so it can still be used.
    let after = text(&original, "SELECT string_agg(u::text, ';' ORDER BY id) FROM users u").await;
    assert_eq!(before, after);
}

async fn names_that_differ_only_in_case_stay_two_accounts(database: Database) {
    let original = database.connect().await;
    original.execute_unprepared(ORIGINAL).await.unwrap();
    register(&original, "Walker1", "Passw0rd!-one", 1).await;
    register(&original, "walker1", "Passw0rd!-two", 1).await;
    let app = TestApp::start(&database).await;
    for (name, right, wrong) in
        [("Walker1", "Passw0rd!-one", "Passw0rd!-two"), ("walker1", "Passw0rd!-two", "Passw0rd!-one")]
    {
        assert!(logs_in(&app.anonymous(), name, right).await, "{name}");
        assert!(!logs_in(&app.anonymous(), name, wrong).await, "{name}");
    }
}

/// The import may run again, if the original's tables appear before the migration has run. It changes nothing then.
async fn a_name_that_is_taken_is_not_imported(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let mut folder = app.stop().await;
    let original = database.connect().await;
    original.execute_unprepared(ORIGINAL).await.unwrap();
    register(&original, &user.name, "An0ther-password!", 1).await;
    register(&original, "newcomer1", PASSWORD, 1).await;
    for _ in 0..2 {
        let step = "DELETE FROM seaql_migrations WHERE version = 'm0002_original_accounts'";
        original.execute_unprepared(step).await.unwrap();
        let app = TestApp::on(&database, folder, &[]).await;
        assert!(logs_in(&app.anonymous(), &user.name, PASSWORD).await);
        assert!(!logs_in(&app.anonymous(), &user.name, "An0ther-password!").await);
        assert!(logs_in(&app.anonymous(), "newcomer1", PASSWORD).await);
        assert_eq!(text(&original, "SELECT count(*)::text FROM accounts").await, "2");
        folder = app.stop().await;
    }
}

async fn tables_that_are_not_the_originals_stay_unchanged(database: Database) {
    let folder = TempDir::new().unwrap();
    let others = sea_orm::Database::connect(database.url().unwrap()).await.unwrap();
    for statement in
        ["CREATE TABLE users (id BIGINT, username TEXT)", "INSERT INTO users VALUES (1, 'walker1')"]
    {
        others.execute_unprepared(statement).await.unwrap();
    }
    let app = TestApp::on(&database, folder, &[]).await;
    assert!(!logs_in(&app.anonymous(), "walker1", PASSWORD).await);
    assert_eq!(text(&others, "SELECT username FROM users").await, "walker1");
    others.close().await.unwrap();
    app.stop().await;
}

async fn the_originals_settings_file_works_after_a_secret_is_added(database: Database) {
    let folder = TempDir::new().unwrap();
    let url = database.url().unwrap();
    let kept = [(); 2].map(|()| ReservedPort::on(Ipv4Addr::UNSPECIFIED).unwrap());
    let [rest, grpc] = kept.each_ref().map(ReservedPort::number);
    assert!(url.ends_with("?sslmode=disable"), "as the original's: {url}");
    let settings = SETTINGS
        .replace("postgres://postgres:postgres@database:5432/postgres?sslmode=disable", url)
        .replace("8080", &rest.to_string())
        .replace("5050", &grpc.to_string());
    fs::create_dir(folder.path().join("configs")).unwrap();
    let file = folder.path().join("configs/default_config.env");
    fs::write(&file, &settings).unwrap();
    // Only the file counts.
    let unset = ["SERVER_ADDRESS", "SERVER_PORT", "DATABASE_URL", "SECRET"].map(|name| (name, ""));
    let (code, stderr) = Process::fail(&database, &folder, &unset).await;
    assert_eq!(code, 64, "{stderr}");
    assert!(stderr.contains("SECRET") && stderr.contains("openssl rand"), "{stderr}");
    assert!(!stderr.contains("SERVER_PORT") && !stderr.contains("SHORT_CODE_LENGTH"), "{stderr}");
    fs::write(&file, settings.replace("12345678901234567890123456789012", SECRET)).unwrap();
    let server = Process::start(&database, &folder, &unset).await;
    // REST at one address and gRPC at the other, as the original's clients call, and the other way round.
    for (rest, grpc) in [(rest, grpc), (grpc, rest)] {
        let [rest, grpc] = [rest, grpc].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let user = User::register(&Caller::anonymous(rest)).await.at(grpc);
        let room = user.create_room().await;
        assert_eq!(room.short_code.len(), 6);
        user.join(&room).await.say("as ever").await;
    }
    let kept = text(&database.connect().await, "SELECT count(*)::text FROM messages").await;
    assert_eq!(kept, "2", "the accounts are in the database that the file names");
    server.kill().await;
}

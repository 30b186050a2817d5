//! The database of an older version: a server migrates it at the start and loses nothing.

use grpcchatter_migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Caller, Database, PASSWORD, TestApp, User, on_each_database};

on_each_database! {
    old_lookalike_names_are_kept_and_new_ones_are_refused,
}

/// How many migrations there were before names were compared by their looks.
const BEFORE: u32 = 2;

/// The old accounts, ordered by id, and whether each is the first with its looks.
const OLD: [(&str, bool); 8] = [
    ("Walker1", true),
    ("walker1", false),
    ("w\u{430}lker1", false),
    ("walker1\u{200b}", false),
    ("cafe\u{301} 1", true),
    ("caf\u{e9} 1", false),
    ("grace1906", true),
    // A new account could not have this name.
    ("\u{1d00}dele1815", true),
];

async fn old_database(database: &Database, folder: &TempDir) -> DatabaseConnection {
    let connection = database.operator(folder.path()).await;
    Migrator::up(&connection, Some(BEFORE)).await.unwrap();
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    for (moment, (name, deleted_at)) in
        OLD.iter().map(|(name, _)| (name, "NULL")).chain([(&"forgotten1", "7")]).enumerate()
    {
        let hash = if deleted_at == "NULL" { &hash } else { "" };
        let insert = format!(
            "INSERT INTO accounts (user_name, password_hash, role, created_at, deleted_at) \
             VALUES ('{name}', '{hash}', 'USER', {moment}, {deleted_at})"
        );
        connection.execute_unprepared(&insert).await.unwrap();
    }
    connection
}

/// Returns the rows of a query as lines.
async fn lines(connection: &DatabaseConnection, query: &str) -> Vec<String> {
    let statement = Statement::from_string(connection.get_database_backend(), query);
    let rows = connection.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

async fn register(caller: &Caller, name: &str) -> u16 {
    let credentials = json!({"user_name": name, "password": PASSWORD});
    caller.rest("POST", "/register", credentials).await.status.as_u16()
}

async fn old_lookalike_names_are_kept_and_new_ones_are_refused(database: Database) {
    const ACCOUNTS: &str = "SELECT CAST(id AS TEXT) || ' ' || CASE WHEN deleted_at IS NULL THEN user_name ELSE '' END \
        || ' ' || password_hash || role || CAST(created_at AS TEXT) || COALESCE(CAST(deleted_at AS TEXT), '-') \
        || COALESCE(CAST(disabled_at AS TEXT), '-') FROM accounts ORDER BY id";
    let folder = TempDir::new().unwrap();
    let operator = old_database(&database, &folder).await;
    let before = lines(&operator, ACCOUNTS).await;
    assert_eq!(before.len(), OLD.len() + 1);
    let app = TestApp::on(&database, folder, &[]).await;
    assert_eq!(lines(&operator, ACCOUNTS).await, before);
    for column in ["name_skeleton", "name_folded"] {
        let names = format!("SELECT user_name FROM accounts WHERE {column} IS NOT NULL ORDER BY id");
        let names = lines(&operator, &names).await;
        // Names that differ in letters of another script or in invisible characters have different case folds.
        let firsts =
            OLD.iter().filter(|(name, first)| *first || column == "name_folded" && has_own_case_fold(name));
        assert_eq!(names, firsts.map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>(), "{column}");
    }
    let deleted = lines(&operator, "SELECT user_name FROM accounts WHERE deleted_at IS NOT NULL").await;
    assert!(deleted[0].starts_with("deleted:"), "{deleted:?}");

    for (name, _) in OLD {
        let user = User::log_in(&app.anonymous(), name, PASSWORD).await;
        let shown = user.rest("GET", "/account", json!(null)).await.json();
        assert_eq!(shown["user_name"], name, "each account kept its name");
    }
    for (name, status) in [("WALKER1", 400), ("GRACE1906", 400), ("forgotten1", 200)] {
        assert_eq!(register(&app.anonymous(), name).await, status, "{name}");
    }
    operator.close().await.unwrap();
    app.stop().await;
}

/// Returns whether an old name is the first with its case fold, though not with its looks.
fn has_own_case_fold(name: &str) -> bool {
    name.contains(['\u{430}', '\u{200b}'])
}

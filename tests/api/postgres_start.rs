//! Starting on a PostgreSQL that cannot be served from, or hardly: what is said, and with which rights it works.

use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

use crate::harness::{Database, OwnPostgres, Process, TestApp, on_postgres};

on_postgres! {
    a_cluster_that_may_lose_what_it_acknowledged_is_refused_by_name,
    a_database_that_cannot_hold_every_character_is_refused,
    what_keeps_it_from_the_database_is_said_once_with_its_remedy,
    a_role_that_may_change_no_schema_serves_a_complete_one,
    a_role_that_may_change_no_schema_is_told_what_it_lacks,
    a_search_path_without_a_schema_is_told_at_the_start_and_by_the_check,
}

async fn refused(database: &Database) -> String {
    let (code, said) = Process::fail(database, &TempDir::new().unwrap(), &[]).await;
    assert_eq!(code, 69, "{said}");
    said
}

async fn a_cluster_that_may_lose_what_it_acknowledged_is_refused_by_name(_: Database) {
    let cluster = OwnPostgres::start().unwrap();
    let database = cluster.database("postgres");
    for setting in ["fsync", "full_page_writes"] {
        cluster.set(setting, "off").await;
        let said = refused(&database).await;
        assert!(said.contains(&format!("{setting} = off")), "{said}");
        assert!(said.contains(&format!("set {setting} = on in postgresql.conf")), "{said}");
        cluster.set(setting, "on").await;
    }
}

async fn a_database_that_cannot_hold_every_character_is_refused(database: Database) {
    let operator = database.connect().await;
    for encoding in ["LATIN1", "EUC_JP", "SQL_ASCII"] {
        let name = format!("{}_{}", database_name(&database), encoding.to_lowercase());
        let make = format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0");
        operator.execute_unprepared(&make).await.unwrap();
        let said = refused(&with_name(&database, &name)).await;
        assert!(said.contains(encoding) && said.contains("createdb --encoding=UTF8"), "{said}");
    }
}

async fn what_keeps_it_from_the_database_is_said_once_with_its_remedy(database: Database) {
    let address = database.address().to_string();
    let url = database.url().unwrap();
    let cases = [
        (
            Database::reached_by("postgres://nobody:cAnary@127.0.0.1:1/nothing?sslmode=disable".to_owned()),
            "127.0.0.1:1: nothing listens there; start PostgreSQL, or correct DATABASE_URL",
        ),
        (
            with_name(&database, "nothing"),
            "\"nothing\" does not exist (SQLSTATE 3D000); make it with `createdb --owner=USER NAME`",
        ),
        (Database::reached_by(url.replace("=disable", "=require")), "TLS cannot be used"),
        (
            Database::reached_by("postgres://a:cAnary@no.such.host.invalid/b".to_owned()),
            "see that the name is known",
        ),
    ];
    for (database, told) in cases {
        let said = refused(&database).await;
        assert_eq!(said.matches(told).count(), 1, "{said}");
        assert!(!said.contains("pool timed out") && !said.contains("at line"), "{said}");
        assert!(!told.contains("SQLSTATE") || said.contains(&address), "{said}");
    }
}

/// Makes a role that may use what is there, and not change it.
async fn limit(database: &Database, role: &str) -> Database {
    let operator = database.connect().await;
    for statement in [
        format!("CREATE ROLE {role} LOGIN"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
        format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"),
        "REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC".to_owned(),
    ] {
        operator.execute_unprepared(&statement).await.unwrap();
    }
    let url = database.url().unwrap();
    Database::reached_by(url.replace("//postgres@", &format!("//{role}@")))
}

async fn a_role_that_may_change_no_schema_serves_a_complete_one(database: Database) {
    let folder = TestApp::start(&database).await.stop().await;
    let limited = limit(&database, &format!("limited_{}", database_name(&database))).await;
    let app = TestApp::on(&limited, folder, &[]).await;
    let user = app.user().await;
    assert_eq!(user.join(&user.create_room().await).await.say("hello").await.seq, 1);
}

async fn a_role_that_may_change_no_schema_is_told_what_it_lacks(database: Database) {
    let limited = limit(&database, &format!("limited_{}", database_name(&database))).await;
    let said = refused(&limited).await;
    assert!(said.contains("permission denied") && said.contains("run `grpcchatter migrate`"), "{said}");
    let said = checked(&limited).await;
    assert!(said.contains("permission denied") && said.contains("run `grpcchatter migrate`"), "{said}");
}

async fn a_search_path_without_a_schema_is_told_at_the_start_and_by_the_check(database: Database) {
    let operator = database.connect().await;
    let name = database_name(&database);
    operator.execute_unprepared(&format!("ALTER DATABASE {name} SET search_path = nowhere")).await.unwrap();
    for said in [refused(&database).await, checked(&database).await] {
        assert!(said.contains("search_path = nowhere") && said.contains("CREATE SCHEMA"), "{said}");
    }
}

/// What the check says, which ends as the start does.
async fn checked(database: &Database) -> String {
    let check = ["check-config", "--connect"];
    let (code, _, said) = Process::command(database, &TempDir::new().unwrap(), &check, "").await;
    assert_eq!(code, 69, "{said}");
    said
}

fn database_name(database: &Database) -> String {
    let url = database.url().unwrap();
    url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned()
}

/// The same server's database of another name.
fn with_name(database: &Database, name: &str) -> Database {
    let url = database.url().unwrap();
    Database::reached_by(url.replace(&format!("/{}?", database_name(database)), &format!("/{name}?")))
}

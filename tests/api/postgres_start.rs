//! Starting with a PostgreSQL that is unusable or restricted: the error messages, and the rights that suffice.

use grpcchatter_testbed::Postgres;
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

use crate::harness::{Database, Process, TestApp, on_postgres};

on_postgres! {
    a_cluster_with_unsafe_settings_is_refused_by_their_names,
    a_database_that_is_not_utf8_is_refused,
    a_connection_failure_is_reported_once_with_its_remedy,
    a_role_without_schema_rights_can_serve_a_complete_schema,
    a_role_without_schema_rights_gets_an_error_that_names_them,
    a_search_path_without_a_schema_is_reported_at_start_and_by_check_config,
}

async fn start_error(database: &Database) -> String {
    let (code, stderr) = Process::fail(database, &TempDir::new().unwrap(), &[]).await;
    assert_eq!(code, 69, "{stderr}");
    stderr
}

async fn a_cluster_with_unsafe_settings_is_refused_by_their_names(_: Database) {
    let cluster = Postgres::start(&[]).await.unwrap();
    let database = Database::reached_by(cluster.url("postgres"));
    for setting in ["fsync", "full_page_writes"] {
        cluster.set(setting, "off").await.unwrap();
        let stderr = start_error(&database).await;
        assert!(stderr.contains(&format!("{setting} = off")), "{stderr}");
        assert!(stderr.contains(&format!("set {setting} = on in postgresql.conf")), "{stderr}");
        cluster.set(setting, "on").await.unwrap();
    }
}

async fn a_database_that_is_not_utf8_is_refused(database: Database) {
    let operator = database.connect().await;
    for encoding in ["LATIN1", "EUC_JP", "SQL_ASCII"] {
        let name = format!("{}_{}", database_name(&database), encoding.to_lowercase());
        let make = format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0");
        operator.execute_unprepared(&make).await.unwrap();
        let stderr = start_error(&with_name(&database, &name)).await;
        assert!(stderr.contains(encoding) && stderr.contains("createdb --encoding=UTF8"), "{stderr}");
    }
}

async fn a_connection_failure_is_reported_once_with_its_remedy(database: Database) {
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
            "check that the host name resolves",
        ),
    ];
    for (database, expected) in cases {
        let stderr = start_error(&database).await;
        assert_eq!(stderr.matches(expected).count(), 1, "{stderr}");
        assert!(!stderr.contains("pool timed out") && !stderr.contains("at line"), "{stderr}");
        assert!(!expected.contains("SQLSTATE") || stderr.contains(&address), "{stderr}");
    }
}

/// Creates a role that may use the tables and not change the schema.
async fn limited_role(database: &Database, role: &str) -> Database {
    let operator = database.connect().await;
    for statement in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'limited'"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
        format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"),
        "REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC".to_owned(),
    ] {
        operator.execute_unprepared(&statement).await.unwrap();
    }
    let url = database.url().unwrap();
    Database::reached_by(url.replace("//postgres@", &format!("//{role}:limited@")))
}

async fn a_role_without_schema_rights_can_serve_a_complete_schema(database: Database) {
    let folder = TestApp::start(&database).await.stop().await;
    let limited = limited_role(&database, &format!("limited_{}", database_name(&database))).await;
    let app = TestApp::on(&limited, folder, &[]).await;
    let user = app.user().await;
    assert_eq!(user.join(&user.create_room().await).await.say("hello").await.seq, 1);
}

async fn a_role_without_schema_rights_gets_an_error_that_names_them(database: Database) {
    let limited = limited_role(&database, &format!("limited_{}", database_name(&database))).await;
    let stderr = start_error(&limited).await;
    assert!(stderr.contains("permission denied") && stderr.contains("run `grpcchatter migrate`"), "{stderr}");
    let stderr = check_error(&limited).await;
    assert!(stderr.contains("permission denied") && stderr.contains("run `grpcchatter migrate`"), "{stderr}");
}

async fn a_search_path_without_a_schema_is_reported_at_start_and_by_check_config(database: Database) {
    let operator = database.connect().await;
    let name = database_name(&database);
    operator.execute_unprepared(&format!("ALTER DATABASE {name} SET search_path = nowhere")).await.unwrap();
    for stderr in [start_error(&database).await, check_error(&database).await] {
        assert!(stderr.contains("search_path = nowhere") && stderr.contains("CREATE SCHEMA"), "{stderr}");
    }
}

/// Returns the error of `check-config`, which exits with the same code as the start.
async fn check_error(database: &Database) -> String {
    let check = ["check-config", "--connect"];
    let (code, _, stderr) = Process::command(database, &TempDir::new().unwrap(), &check, "").await;
    assert_eq!(code, 69, "{stderr}");
    stderr
}

fn database_name(database: &Database) -> String {
    let url = database.url().unwrap();
    url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned()
}

/// Returns another database of the same PostgreSQL.
fn with_name(database: &Database, name: &str) -> Database {
    let url = database.url().unwrap();
    Database::reached_by(url.replace(&format!("/{}?", database_name(database)), &format!("/{name}?")))
}

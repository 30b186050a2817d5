//! Only one server may use a PostgreSQL database. A second one is refused, and a server that has lost its lock stops writing.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use tempfile::TempDir;

use crate::harness::{Database, Process, TestApp, lock_is_waited_for, on_postgres, within};

on_postgres! {
    a_second_server_on_a_database_exits_with_75,
    a_killed_servers_lock_is_free_at_once,
    a_lost_lock_is_taken_again,
    a_server_whose_lock_was_taken_exits_with_75,
}

/// Finds the PostgreSQL session that holds the server's lock.
const FIND_HOLDER: &str = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

async fn holder(connection: &DatabaseConnection) -> Option<i32> {
    let statement = Statement::from_string(connection.get_database_backend(), FIND_HOLDER);
    connection.query_one_raw(statement).await.unwrap().map(|row| row.try_get("", "pid").unwrap())
}

async fn a_second_server_on_a_database_exits_with_75(database: Database) {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Process::start(&database, &one, &[]).await;
    let user = server.user().await;
    let (code, stderr) = Process::fail(&database, &other, &[]).await;
    assert_eq!(code, 75, "{stderr}");
    assert!(stderr.contains("another server is using it") && stderr.contains("DATABASE_URL"), "{stderr}");
    user.join(&user.create_room().await).await.say("not held up by it").await;
}

async fn a_killed_servers_lock_is_free_at_once(database: Database) {
    for _ in 0..3 {
        let folder = TempDir::new().unwrap();
        let server = Process::start(&database, &folder, &[]).await;
        server.user().await;
        server.kill().await;
    }
    let app = TestApp::start(&database).await;
    app.user().await;
}

async fn a_lost_lock_is_taken_again(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let operator = database.connect().await;
    let first = holder(&operator).await.expect("the server holds it");
    operator.execute_unprepared(&format!("SELECT pg_terminate_backend({first})")).await.unwrap();
    let again = async {
        loop {
            match holder(&operator).await {
                Some(pid) if pid != first => return,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    within("a new lock", again).await;
    // The server starts writing again a moment later.
    let written =
        async { while member.call(grpcchatter_proto::v1::SendMessageRequest::default()).await.is_err() {} };
    within("a message", written).await;
}

async fn a_server_whose_lock_was_taken_exits_with_75(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let operator = database.connect().await;
    let first = holder(&operator).await.expect("the server holds it");
    let find = "SELECT (classid::bigint << 32 | objid::bigint)::text AS key FROM pg_locks \
        WHERE locktype = 'advisory' AND granted";
    let row = operator.query_one_raw(Statement::from_string(operator.get_database_backend(), find)).await;
    let key: String = row.unwrap().unwrap().try_get("", "key").unwrap();
    // Another session waits for the lock, and gets it as soon as the server's connection is gone.
    let other = database.connect().await;
    let lock = format!("SELECT pg_advisory_lock({key})");
    let waiting = tokio::spawn(async move {
        other.execute_unprepared(&lock).await.unwrap();
        other
    });
    lock_is_waited_for(&operator, Some("advisory")).await;
    operator.execute_unprepared(&format!("SELECT pg_terminate_backend({first})")).await.unwrap();
    let other = waiting.await.unwrap();
    let (status, log) = server.wait().await;
    assert_eq!(status.code(), Some(75), "{log}");
    assert!(log.contains("another server is using it"), "{log}");
    drop(other);
}

//! Temporary states of PostgreSQL: it accepts no writes or no logins, has closed idle connections, or does not wait for its disk. No
//! acknowledged message is lost, callers get UNAVAILABLE, and the server recovers by itself.

use std::time::Duration;

use grpcchatter_proto::v1::{CreateChatRoomRequest, SendMessageRequest};
use grpcchatter_testbed::{Postgres, Proxy};
use rustix::process::Signal;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    durability::log,
    harness::{
        Database, Member, PASSWORD, Process, Refused as _, TestApp, User, new_name, on_postgres, promised,
    },
};

on_postgres! {
    acknowledged_messages_survive_a_crash_whatever_the_roles_settings,
    a_read_only_postgres_is_unavailable_until_it_accepts_writes,
    a_standby_is_unavailable_until_it_is_promoted,
    the_database_of_another_deployment_is_unavailable,
    a_rotated_password_is_unavailable_until_it_is_right_again,
    the_reason_why_no_connection_works_is_logged,
    connections_that_died_while_idle_fail_no_call,
    a_role_that_ends_idle_sessions_fails_no_call,
}

/// Within this time everything works after the database does.
const RECOVERY_DEADLINE: Duration = Duration::from_secs(8);

async fn acknowledged_messages_survive_a_crash_whatever_the_roles_settings(_: Database) {
    // Prolongs the time in which a crash loses commits that did not wait for the disk.
    let mut cluster = Postgres::start(&[("wal_writer_delay", "10s")]).await.unwrap();
    cluster
        .run(&[
            "CREATE ROLE chat LOGIN PASSWORD 'cAnary'",
            "CREATE DATABASE chat OWNER chat",
            "ALTER ROLE chat SET synchronous_commit = off",
            "ALTER ROLE chat SET default_transaction_isolation = 'serializable'",
        ])
        .await
        .unwrap();
    let database = Database::reached_by(cluster.url_as("chat", "cAnary", "chat"));
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let room = user.create_room().await;
    let member = user.join(&room).await;
    for nth in 0..20 {
        member.say(&format!("{nth}")).await;
    }
    cluster.end(Signal::QUIT).await.unwrap();
    let folder = app.stop().await;
    cluster.start_again().await.unwrap();
    let app = TestApp::on(&database, folder, &[]).await;
    let user = User::log_in(&app.anonymous(), &user.name, PASSWORD).await;
    let member = user.join(&room).await;
    let stored: Vec<_> = log(&member).await.into_iter().map(|message| message.body).collect();
    assert_eq!(stored, (0..20).map(|nth| nth.to_string()).collect::<Vec<_>>());
}

async fn a_read_only_postgres_is_unavailable_until_it_accepts_writes(_: Database) {
    let cluster = Postgres::start(&[]).await.unwrap();
    cluster.create_database("chat").await.unwrap();
    let app = TestApp::start(&Database::reached_by(cluster.url("chat"))).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    member.say("before").await;
    cluster.set("default_transaction_read_only", "on").await.unwrap();
    is_unavailable(&app, &user, &member).await;
    cluster.set("default_transaction_read_only", "off").await.unwrap();
    promised("the recovery", RECOVERY_DEADLINE, recovers(&app, &user, &member)).await;
}

async fn a_standby_is_unavailable_until_it_is_promoted(_: Database) {
    let mut primary = Postgres::start(&[]).await.unwrap();
    primary.create_database("chat").await.unwrap();
    let standby = primary.standby(primary.address()).await.unwrap();
    let name = Proxy::start(primary.address()).await.unwrap();
    let app = TestApp::start(&Database::reached_by(primary.url("chat")).at(name.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    member.say("before").await;
    // The standby receives everything before the primary ends.
    primary.end(Signal::INT).await.unwrap();
    name.set_target(standby.address());
    is_unavailable(&app, &user, &member).await;
    // A server that starts now reports the reason.
    let (code, stderr) =
        Process::fail(&Database::reached_by(standby.url("chat")), &TempDir::new().unwrap(), &[]).await;
    assert_eq!((code, stderr.contains("it takes no writes: it is a standby")), (69, true), "{stderr}");
    standby.promote().await.unwrap();
    promised("the recovery", RECOVERY_DEADLINE, recovers(&app, &user, &member)).await;
    let bodies: Vec<_> = log(&member).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["before", "during"]);
}

async fn the_database_of_another_deployment_is_unavailable(_: Database) {
    let (own, other) = (Postgres::start(&[]).await.unwrap(), Postgres::start(&[]).await.unwrap());
    for cluster in [&own, &other] {
        cluster.create_database("chat").await.unwrap();
    }
    // First a database without tables, then another deployment's without accounts.
    let name = Proxy::start(own.address()).await.unwrap();
    let app = TestApp::start(&Database::reached_by(own.url("chat")).at(name.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    member.say("before").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'chat'";
    for is_served_there in [false, true] {
        if is_served_there {
            TestApp::start(&Database::reached_by(other.url("chat"))).await.stop().await;
        }
        name.set_target(other.address());
        own.run(&[cut]).await.unwrap();
        is_unavailable(&app, &user, &member).await;
        name.set_target(own.address());
        promised("the recovery", RECOVERY_DEADLINE, recovers(&app, &user, &member)).await;
    }
    let operator = Database::reached_by(other.url("chat")).connect().await;
    for table in ["accounts", "sessions", "rooms", "messages"] {
        // A division by zero unless the table is empty.
        let is_empty = format!("SELECT 1 / (count(*) = 0)::int FROM {table}");
        let counted = operator.execute_unprepared(&is_empty).await;
        counted.unwrap_or_else(|error| panic!("{table} is not empty: {error}"));
    }
}

async fn a_rotated_password_is_unavailable_until_it_is_right_again(_: Database) {
    let cluster = Postgres::start(&[]).await.unwrap();
    cluster
        .run(&["CREATE ROLE chat LOGIN PASSWORD 'cAnary'", "CREATE DATABASE chat OWNER chat"])
        .await
        .unwrap();
    let database = Database::reached_by(cluster.url_as("chat", "cAnary", "chat"));
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    member.say("before").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'chat'";
    cluster.run(&["ALTER ROLE chat PASSWORD 'another'", cut]).await.unwrap();
    is_unavailable(&app, &user, &member).await;
    let (code, stderr) = Process::fail(&database, &TempDir::new().unwrap(), &[]).await;
    assert_eq!(code, 69, "{stderr}");
    for expected in
        [&cluster.address().to_string(), "28P01", "correct the user and the password in DATABASE_URL"]
    {
        assert_eq!(stderr.matches(expected).count(), 1, "{expected}: {stderr}");
    }
    cluster.run(&["ALTER ROLE chat PASSWORD 'cAnary'"]).await.unwrap();
    promised("the recovery", RECOVERY_DEADLINE, recovers(&app, &user, &member)).await;
}

/// No call is made: the instance lock's own task notices it.
async fn the_reason_why_no_connection_works_is_logged(_: Database) {
    let (own, other) = (Postgres::start(&[]).await.unwrap(), Postgres::start(&[]).await.unwrap());
    for cluster in [&own, &other] {
        let role = "CREATE ROLE chat LOGIN PASSWORD 'cAnary'";
        cluster.run(&[role, "CREATE DATABASE chat OWNER chat"]).await.unwrap();
    }
    let name = Proxy::start(own.address()).await.unwrap();
    let folder = TempDir::new().unwrap();
    let database = Database::reached_by(own.url_as("chat", "cAnary", "chat")).at(name.address());
    let mut server = Process::start(&database, &folder, &[]).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'chat'";
    own.run(&["ALTER ROLE chat PASSWORD 'another'", cut]).await.unwrap();
    server.says("password authentication failed").await;
    name.set_target(other.address());
    server.says("it leads to another deployment's database").await;
}

async fn connections_that_died_while_idle_fail_no_call(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let operator = database.connect().await;
    for round in 0..3 {
        // Opens all connections.
        call_all(&app, &user, &member).await;
        // Waits for the end of each connection.
        let cut = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()";
        operator.execute_unprepared(cut).await.unwrap();
        call_all(&app, &user, &member).await;
        assert_eq!(log(&member).await.len(), (round + 1) * 16);
    }
}

async fn a_role_that_ends_idle_sessions_fails_no_call(_: Database) {
    let cluster = Postgres::start(&[]).await.unwrap();
    cluster
        .run(&[
            "CREATE ROLE chat LOGIN PASSWORD 'cAnary'",
            "CREATE DATABASE chat OWNER chat",
            "ALTER ROLE chat SET idle_session_timeout = '2s'",
        ])
        .await
        .unwrap();
    let database = Database::reached_by(cluster.url_as("chat", "cAnary", "chat"));
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    call_all(&app, &user, &member).await;
    // PostgreSQL has ended another session of the role, which was idle for less time than the server's.
    let bystander = database.connect().await;
    let named = "SET application_name = 'bystander'";
    bystander.execute_unprepared(named).await.unwrap();
    let ended = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'bystander'";
    cluster.until(ended).await.unwrap();
    call_all(&app, &user, &member).await;
}

/// Makes calls of every sort at once. None may fail.
async fn call_all(app: &TestApp, user: &User, member: &Member) {
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let caller = app.anonymous();
        calls.spawn(async move { assert_eq!(caller.rest("GET", "/readyz", Value::Null).await.status, 200) });
    }
    for _ in 0..16 {
        let user = user.clone();
        calls.spawn(async move { assert_eq!(user.rest("GET", "/account", Value::Null).await.status, 200) });
    }
    for _ in 0..8 {
        let member = member.clone();
        calls.spawn(async move { drop(member.say("at once").await) });
    }
    let (anonymous, name) = (app.anonymous(), user.name.clone());
    calls.spawn(async move { drop(User::log_in(&anonymous, &name, PASSWORD).await) });
    calls.join_all().await;
}

/// Checks that reads and writes get UNAVAILABLE or 503, and that the server is not ready.
async fn is_unavailable(app: &TestApp, user: &User, member: &Member) {
    let send = SendMessageRequest { body: "during".to_owned(), client_message_id: "during".to_owned() };
    let status = member.call(send).await.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
    let log_in = json!({"user_name": user.name, "password": PASSWORD});
    assert_eq!(app.anonymous().rest("POST", "/login", log_in).await.status, 503);
    let register = json!({"user_name": new_name(), "password": PASSWORD});
    assert_eq!(app.anonymous().rest("POST", "/register", register).await.status, 503);
    user.call(CreateChatRoomRequest::default()).await.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    assert_eq!(app.anonymous().rest("GET", "/readyz", Value::Null).await.status, 503);
}

/// Returns when everything works again.
async fn recovers(app: &TestApp, user: &User, member: &Member) {
    let send = || SendMessageRequest { body: "during".to_owned(), client_message_id: "during".to_owned() };
    while let Err(status) = member.call(send()).await {
        status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    }
    while app.anonymous().rest("GET", "/readyz", Value::Null).await.status != 200 {}
    User::log_in(&app.anonymous(), &user.name, PASSWORD).await;
}

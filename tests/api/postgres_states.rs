//! PostgreSQL in states that pass: it takes no writes, lets nobody in, has closed what lay idle, or does not wait for its
//! disk. Nothing that was acknowledged is lost, whoever calls is told to come again, and all heals by itself.

use std::time::Duration;

use grpcchatter_proto::v1::{CreateChatRoomRequest, SendMessageRequest};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    durability::log,
    harness::{
        Cable, Database, End, Member, OwnPostgres, PASSWORD, Process, Refused as _, TestApp, User, new_name,
        on_postgres, promised, until, within,
    },
};

on_postgres! {
    what_is_acknowledged_outlives_a_crash_whatever_the_role_says,
    a_server_that_takes_no_writes_is_unavailable_until_it_does,
    an_address_that_leads_to_a_standby_is_unavailable_until_it_is_promoted,
    an_address_that_leads_to_another_deployment_is_unavailable,
    a_password_that_was_rotated_is_unavailable_until_it_is_right,
    why_no_connection_can_be_used_is_logged,
    connections_that_died_while_idle_cost_nobody_a_call,
    a_role_that_ends_idle_sessions_costs_nobody_a_call,
}

/// How soon everything works once the database does.
const RETURN: Duration = Duration::from_secs(8);

async fn what_is_acknowledged_outlives_a_crash_whatever_the_role_says(_: Database) {
    let mut cluster = OwnPostgres::start().unwrap();
    cluster
        .run(&[
            "CREATE ROLE chat LOGIN PASSWORD 'cAnary'",
            "CREATE DATABASE chat OWNER chat",
            "ALTER ROLE chat SET synchronous_commit = off",
            "ALTER ROLE chat SET default_transaction_isolation = 'serializable'",
        ])
        .await;
    let database = cluster.database_as("chat", "cAnary", "chat");
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let room = user.create_room().await;
    let member = user.join(&room).await;
    for nth in 0..20 {
        member.say(&format!("{nth}")).await;
    }
    cluster.end(End::Crash);
    let folder = app.stop().await;
    cluster.serve();
    let app = TestApp::on(&database, folder, &[]).await;
    let user = User::log_in(&app.anonymous(), &user.name, PASSWORD).await;
    let member = user.join(&room).await;
    let kept: Vec<_> = log(&member).await.into_iter().map(|message| message.body).collect();
    assert_eq!(kept, (0..20).map(|nth| nth.to_string()).collect::<Vec<_>>());
}

async fn a_server_that_takes_no_writes_is_unavailable_until_it_does(_: Database) {
    let cluster = OwnPostgres::start().unwrap();
    cluster.run(&["CREATE DATABASE chat"]).await;
    let app = TestApp::start(&cluster.database("chat")).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    member.say("before").await;
    cluster.set("default_transaction_read_only", "on").await;
    is_unavailable(&app, &user, &member).await;
    cluster.set("default_transaction_read_only", "off").await;
    promised("the return", RETURN, heals(&app, &user, &member)).await;
}

async fn an_address_that_leads_to_a_standby_is_unavailable_until_it_is_promoted(_: Database) {
    let mut primary = OwnPostgres::start().unwrap();
    primary.run(&["CREATE DATABASE chat"]).await;
    let standby = primary.standby();
    let name = Cable::start(primary.address()).await;
    let app = TestApp::start(&primary.database("chat").at(name.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    member.say("before").await;
    // All of it arrives before the primary ends.
    primary.end(End::Fast);
    name.lead_to(standby.address());
    is_unavailable(&app, &user, &member).await;
    // Whoever starts now is told why.
    let (code, said) = Process::fail(&standby.database("chat"), &TempDir::new().unwrap(), &[]).await;
    assert_eq!((code, said.contains("it takes no writes: it is a standby")), (69, true), "{said}");
    standby.run(&["SELECT pg_promote()"]).await;
    promised("the return", RETURN, heals(&app, &user, &member)).await;
    let bodies: Vec<_> = log(&member).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["before", "during"]);
}

async fn an_address_that_leads_to_another_deployment_is_unavailable(_: Database) {
    let (own, other) = (OwnPostgres::start().unwrap(), OwnPostgres::start().unwrap());
    for cluster in [&own, &other] {
        cluster.run(&["CREATE DATABASE chat"]).await;
    }
    // Another deployment, with its tables and nobody in it; and before that a database without any.
    let name = Cable::start(own.address()).await;
    let app = TestApp::start(&own.database("chat").at(name.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    member.say("before").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'chat'";
    for is_served_there in [false, true] {
        if is_served_there {
            TestApp::start(&other.database("chat")).await.stop().await;
        }
        name.lead_to(other.address());
        own.run(&[cut]).await;
        is_unavailable(&app, &user, &member).await;
        name.lead_to(own.address());
        promised("the return", RETURN, heals(&app, &user, &member)).await;
    }
    let operator = other.database("chat").connect().await;
    for table in ["accounts", "sessions", "rooms", "messages"] {
        // A division by zero, if anything had been written there.
        let is_empty = format!("SELECT 1 / (count(*) = 0)::int FROM {table}");
        let counted = operator.execute_unprepared(&is_empty).await;
        counted.unwrap_or_else(|error| panic!("{table} is not empty: {error}"));
    }
}

async fn a_password_that_was_rotated_is_unavailable_until_it_is_right(_: Database) {
    let cluster = OwnPostgres::start().unwrap();
    cluster.run(&["CREATE ROLE chat LOGIN PASSWORD 'cAnary'", "CREATE DATABASE chat OWNER chat"]).await;
    let database = cluster.database_as("chat", "cAnary", "chat");
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    member.say("before").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'chat'";
    cluster.run(&["ALTER ROLE chat PASSWORD 'another'", cut]).await;
    is_unavailable(&app, &user, &member).await;
    let (code, said) = Process::fail(&database, &TempDir::new().unwrap(), &[]).await;
    assert_eq!(code, 69, "{said}");
    for told in [&cluster.address().to_string(), "28P01", "correct the user and the password in DATABASE_URL"]
    {
        assert_eq!(said.matches(told).count(), 1, "{told}: {said}");
    }
    cluster.run(&["ALTER ROLE chat PASSWORD 'cAnary'"]).await;
    promised("the return", RETURN, heals(&app, &user, &member)).await;
}

/// Nobody calls: what holds the database looks for it by itself.
async fn why_no_connection_can_be_used_is_logged(_: Database) {
    let (own, other) = (OwnPostgres::start().unwrap(), OwnPostgres::start().unwrap());
    for cluster in [&own, &other] {
        let role = "CREATE ROLE chat LOGIN PASSWORD 'cAnary'";
        cluster.run(&[role, "CREATE DATABASE chat OWNER chat"]).await;
    }
    let name = Cable::start(own.address()).await;
    let folder = TempDir::new().unwrap();
    let database = own.database_as("chat", "cAnary", "chat").at(name.address());
    let mut server = Process::start(&database, &folder, &[]).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'chat'";
    own.run(&["ALTER ROLE chat PASSWORD 'another'", cut]).await;
    server.says("password authentication failed").await;
    name.lead_to(other.address());
    server.says("it leads to another deployment's database").await;
}

async fn connections_that_died_while_idle_cost_nobody_a_call(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let operator = database.connect().await;
    for round in 0..3 {
        // As many connections as there can be.
        at_once(&app, &user, &member).await;
        // Each end is awaited.
        let cut = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()";
        operator.execute_unprepared(cut).await.unwrap();
        at_once(&app, &user, &member).await;
        assert_eq!(log(&member).await.len(), (round + 1) * 16);
    }
}

async fn a_role_that_ends_idle_sessions_costs_nobody_a_call(_: Database) {
    let cluster = OwnPostgres::start().unwrap();
    cluster
        .run(&[
            "CREATE ROLE chat LOGIN PASSWORD 'cAnary'",
            "CREATE DATABASE chat OWNER chat",
            "ALTER ROLE chat SET idle_session_timeout = '2s'",
        ])
        .await;
    let database = cluster.database_as("chat", "cAnary", "chat");
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    at_once(&app, &user, &member).await;
    // Another session of the role, idle for less long than the server's, is ended.
    let bystander = database.connect().await;
    let named = "SET application_name = 'bystander'";
    bystander.execute_unprepared(named).await.unwrap();
    let ended = "SELECT count(*) = 0 AS done FROM pg_stat_activity WHERE application_name = 'bystander'";
    within("the end of an idle session", until(&cluster.operator().await, ended)).await;
    at_once(&app, &user, &member).await;
}

/// Makes calls of every sort at once, none of which may fail.
async fn at_once(app: &TestApp, user: &User, member: &Member) {
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

/// Checks that calls that need the database get UNAVAILABLE and 503, those that write anything too, and that the server is not
/// ready.
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

/// Returns once everything works again.
async fn heals(app: &TestApp, user: &User, member: &Member) {
    let send = || SendMessageRequest { body: "during".to_owned(), client_message_id: "during".to_owned() };
    while let Err(status) = member.call(send()).await {
        status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    }
    while app.anonymous().rest("GET", "/readyz", Value::Null).await.status != 200 {}
    User::log_in(&app.anonymous(), &user.name, PASSWORD).await;
}

//! PostgreSQL behind a link that drops all bytes and closes no connection, as with a dead machine, a frozen process or a firewall that
//! has lost its state: queries are never answered. New connections reach a working PostgreSQL, so the server recovers without a restart.

use std::time::Duration;

use grpcchatter_proto::v1::{ListMessagesRequest, SendMessageRequest};
use grpcchatter_testbed::{Postgres, Proxy};
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    durability::log,
    harness::{Database, Member, PASSWORD, Refused as _, TestApp, User, on_postgres, promised, within},
};

on_postgres! {
    connections_over_a_frozen_link_are_replaced,
    a_frozen_primary_is_replaced_by_its_promoted_standby,
}

/// Within this time everything works over new connections.
const RECOVERY_DEADLINE: Duration = Duration::from_secs(10);

/// How many calls of each sort wait: more than there are database connections.
const CALLS: usize = 16;

async fn connections_over_a_frozen_link_are_replaced(_: Database) {
    let cluster = Postgres::start(&[]).await.unwrap();
    cluster.create_database("chat").await.unwrap();
    let link = Proxy::start(cluster.address()).await.unwrap();
    let app = TestApp::start(&Database::reached_by(cluster.url("chat")).at(link.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    // The second freeze affects the connections that were opened after the first.
    for round in 0..2 {
        call_all(&user, &member).join_all().await;
        link.freeze();
        let waiting = call_all(&user, &member);
        promised("the recovery", RECOVERY_DEADLINE, recovers(&app, &user, &member, round)).await;
        within("the answers", waiting.join_all()).await;
    }
}

async fn a_frozen_primary_is_replaced_by_its_promoted_standby(_: Database) {
    let mut primary = Postgres::start(&[]).await.unwrap();
    primary.create_database("chat").await.unwrap();
    let standby = primary.standby(primary.address()).await.unwrap();
    let link = Proxy::start(primary.address()).await.unwrap();
    let app = TestApp::start(&Database::reached_by(primary.url("chat")).at(link.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    call_all(&user, &member).join_all().await;
    link.freeze();
    let waiting = call_all(&user, &member);
    // The standby receives everything from the primary. The link hides the primary's end.
    primary.end(Signal::INT).await.unwrap();
    link.set_target(standby.address());
    standby.promote().await.unwrap();
    promised("the recovery", RECOVERY_DEADLINE, recovers(&app, &user, &member, 0)).await;
    within("the answers", waiting.join_all()).await;
}

/// Makes calls of every sort at once, and ignores their outcomes.
fn call_all(user: &User, member: &Member) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let caller = member.clone();
        calls.spawn(async move { drop(caller.call(ListMessagesRequest::default()).await) });
        let caller = member.clone();
        let send = SendMessageRequest { body: "at once".to_owned(), ..Default::default() };
        calls.spawn(async move { drop(caller.call(send).await) });
        let caller = user.clone();
        calls.spawn(async move { drop(caller.rest("GET", "/account", Value::Null).await) });
    }
    calls
}

/// Returns when everything works again.
async fn recovers(app: &TestApp, user: &User, member: &Member, round: usize) {
    let send =
        || SendMessageRequest { body: "healed".to_owned(), client_message_id: format!("healed-{round}") };
    while let Err(status) = member.call(send()).await {
        status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    }
    while let Err(status) = member.call(ListMessagesRequest::default()).await {
        status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    }
    while app.anonymous().rest("GET", "/readyz", Value::Null).await.status != 200 {}
    User::log_in(&app.anonymous(), &user.name, PASSWORD).await;
    call_all(user, member).join_all().await;
    assert!(log(member).await.iter().any(|message| message.body == "healed"));
}

//! PostgreSQL behind a link that swallows everything and breaks nothing, as a machine that is dead, a process that is frozen
//! or a firewall that forgets: what was asked there is never answered, and no connection ends. The address leads to a server
//! that answers by then, and all goes on by new connections, without a restart.

use std::time::Duration;

use grpcchatter_proto::v1::{ListMessagesRequest, SendMessageRequest};
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    durability::log,
    harness::{
        Cable, Database, End, Member, OwnPostgres, PASSWORD, Refused as _, TestApp, User, on_postgres,
        promised, within,
    },
};

on_postgres! {
    a_link_that_is_frozen_is_replaced,
    a_server_that_is_frozen_is_left_for_the_standby_that_is_promoted,
}

/// How soon everything works by new connections.
const RETURN: Duration = Duration::from_secs(10);

/// So many calls of each sort wait: more than connections, and more than there are turns.
const CALLS: usize = 16;

async fn a_link_that_is_frozen_is_replaced(_: Database) {
    let cluster = OwnPostgres::start().unwrap();
    cluster.run(&["CREATE DATABASE chat"]).await;
    let link = Cable::start(cluster.address()).await;
    let app = TestApp::start(&cluster.database("chat").at(link.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    // Those that were opened for the first freeze are frozen by the second.
    for round in 0..2 {
        at_once(&user, &member).join_all().await;
        link.freeze();
        let waiting = at_once(&user, &member);
        promised("the return", RETURN, heals(&app, &user, &member, round)).await;
        within("the answers", waiting.join_all()).await;
    }
}

async fn a_server_that_is_frozen_is_left_for_the_standby_that_is_promoted(_: Database) {
    let mut primary = OwnPostgres::start().unwrap();
    primary.run(&["CREATE DATABASE chat"]).await;
    let standby = primary.standby();
    let link = Cable::start(primary.address()).await;
    let app = TestApp::start(&primary.database("chat").at(link.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    at_once(&user, &member).join_all().await;
    link.freeze();
    let waiting = at_once(&user, &member);
    // All that it has arrives at the standby. Of its end nothing is seen through the link.
    primary.end(End::Fast);
    link.lead_to(standby.address());
    standby.run(&["SELECT pg_promote()"]).await;
    promised("the return", RETURN, heals(&app, &user, &member, 0)).await;
    within("the answers", waiting.join_all()).await;
}

/// Makes calls of every sort at once, whatever becomes of them.
fn at_once(user: &User, member: &Member) -> JoinSet<()> {
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

/// Returns once everything works again.
async fn heals(app: &TestApp, user: &User, member: &Member, round: usize) {
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
    at_once(user, member).join_all().await;
    assert!(log(member).await.iter().any(|message| message.body == "healed"));
}

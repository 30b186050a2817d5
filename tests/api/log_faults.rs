//! The log while PostgreSQL is slow, locked by others or cut off: no message is lost, doubled or out of order, and a room in trouble
//! does not affect the others.

use std::collections::{BTreeMap, BTreeSet};

use grpcchatter_proto::v1::{
    ListMessagesRequest, Message, ResumePoint, SendMessageRequest, subscribe_request::Start,
    subscribe_response::Event,
};
use grpcchatter_testbed::{
    CommitFault::{CutAfter, CutBefore, CutDuring, Hold},
    Proxy,
};
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait as _,
};
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{
    Database, Member, Refused as _, Room, TestApp, lock_is_waited_for, on_postgres, report, within,
};

on_postgres! {
    a_locked_room_does_not_delay_other_rooms,
    messages_for_a_locked_room_keep_their_order,
    a_member_of_a_locked_room_can_log_in_and_out,
    a_commit_in_doubt_is_looked_up,
    a_commit_that_stays_in_doubt_is_unavailable_and_stored_once,
    an_append_that_is_cut_is_looked_up,
    an_append_that_arrives_too_late_stores_nothing,
    a_message_that_the_database_refuses_does_not_fail_its_batch,
}

/// Repeats a send until it is stored, as a client does after UNAVAILABLE.
async fn send_until_stored(member: &Member, id: &str) -> Message {
    let request =
        SendMessageRequest { body: format!("cAnary body of {id}"), client_message_id: id.to_owned() };
    let stored = async {
        loop {
            match member.call(request.clone()).await {
                Ok(answer) => return answer.message.unwrap(),
                Err(status) => drop(status.refused(Code::Unavailable, "DATABASE_UNAVAILABLE")),
            }
        }
    };
    within("a message to be stored", stored).await
}

async fn log(member: &Member) -> Vec<Message> {
    let request = ListMessagesRequest { page_size: 200, after_seq: Some(0), ..Default::default() };
    let page = member.call(request).await.unwrap();
    assert!(!page.more);
    page.messages
}

/// Locks a room's row until the transaction ends, as another server or an operator may.
async fn lock_room(operator: &DatabaseConnection, room: &Room) -> DatabaseTransaction {
    let transaction = operator.begin().await.unwrap();
    let lock = format!("SELECT id FROM rooms WHERE short_code = '{}' FOR UPDATE", room.short_code);
    transaction.execute_unprepared(&lock).await.unwrap();
    transaction
}

/// Returns the statements that currently wait for a lock.
async fn waits(operator: &DatabaseConnection) -> BTreeSet<String> {
    let find = "SELECT pid || ' since ' || query_start AS wait FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let statement = Statement::from_string(operator.get_database_backend(), find);
    let rows = operator.query_all_raw(statement).await.unwrap();
    rows.into_iter().map(|row| row.try_get("", "wait").unwrap()).collect()
}

async fn a_locked_room_does_not_delay_other_rooms(database: Database) {
    const ROUNDS: usize = 20;
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let mut members = Vec::new();
    // Two rooms for each lane.
    for _ in 0..8 {
        members.push(user.join(&user.create_room().await).await);
    }
    let locked = members.remove(0);
    let others = async |seq: i64| {
        for member in &members {
            assert_eq!(member.say("as always").await.seq, seq);
        }
    };
    others(1).await;
    let operator = database.connect().await;
    let transaction = lock_room(&operator, &locked.room).await;
    // Two clients repeat their sends to the locked room.
    let mut sending = JoinSet::new();
    for id in ["one", "two"] {
        let member = locked.clone();
        sending.spawn(async move { send_until_stored(&member, id).await.seq });
    }
    // A round of the others completes while one statement waits for the lock, so the round did not wait behind it. Rounds during
    // which the wait ended do not count.
    let passed = async {
        let mut rounds = 2..;
        for _ in 0..ROUNDS {
            loop {
                let before = waits(&operator).await;
                others(rounds.next().unwrap()).await;
                if !waits(&operator).await.is_disjoint(&before) {
                    break;
                }
            }
        }
    };
    within("rounds of the others, each during one wait for the lock", passed).await;
    assert!(sending.try_join_next().is_none(), "the lock holds");
    transaction.rollback().await.unwrap();
    let mut seqs = within("the locked room", sending.join_all()).await;
    seqs.sort_unstable();
    assert_eq!(seqs, [1, 2]);
    assert_eq!(log(&locked).await.len(), 2);
}

async fn a_member_of_a_locked_room_can_log_in_and_out(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let stream = member.subscribe(None).await.unwrap();
    let operator = database.connect().await;
    let transaction = lock_room(&operator, &member.room).await;
    let again = user.log_in_again().await;
    for session in [user, again] {
        assert_eq!(session.rest("POST", "/logout", Value::Null).await.status, 204);
    }
    within("the end of the stream", stream.end()).await.refused(Code::Unauthenticated, "TOKEN_REVOKED");
    transaction.rollback().await.unwrap();
}

async fn messages_for_a_locked_room_keep_their_order(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let operator = database.connect().await;
    let transaction = lock_room(&operator, &member.room).await;
    let mut chat = member.chat().await.unwrap();
    for id in 0..10 {
        chat.say_as(&format!("{id:02}"), "waits").await;
    }
    lock_is_waited_for(&operator, None).await;
    for id in 10..20 {
        chat.say_as(&format!("{id:02}"), "waits behind").await;
    }
    transaction.rollback().await.unwrap();
    let mut stored = Vec::new();
    for _ in 0..20 {
        let response = chat.next().await;
        match response.rejected {
            None => stored.push((response.seq, response.client_message_id)),
            // On a slow machine the message may time out before the lock is released.
            Some(rejected) => assert_eq!(rejected.reason, "DATABASE_UNAVAILABLE"),
        }
    }
    assert!(stored.is_sorted(), "{stored:?}");
    let ids: Vec<_> = stored.iter().map(|(_, id)| id).collect();
    assert!(ids.is_sorted(), "not in the order of sending: {ids:?}");
    assert!(stored.iter().map(|(seq, _)| *seq).eq(1..=i64::try_from(stored.len()).unwrap()), "{stored:?}");
    // The room is back in its own lane.
    assert_eq!(usize::try_from(member.say("after").await.seq).unwrap(), stored.len() + 1);
}

async fn a_commit_in_doubt_is_looked_up(database: Database) {
    const AUTHORS: usize = 4;
    const EACH: usize = 30;
    let proxy = Proxy::start(database.address()).await.unwrap();
    let app = TestApp::start(&database.at(proxy.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut listening = member.subscribe(Some(Start::After(ResumePoint::default()))).await.unwrap();
    proxy.fail_commits([CutBefore, CutAfter, CutAfter, CutBefore].repeat(5));
    let mut speaking = JoinSet::new();
    for author in 0..AUTHORS {
        let member = member.clone();
        speaking.spawn(async move {
            let mut acknowledged = Vec::new();
            for nth in 0..EACH {
                let id = format!("{author}-{nth:02}");
                acknowledged.push((id.clone(), send_until_stored(&member, &id).await.seq));
            }
            acknowledged
        });
    }
    let acknowledged: Vec<_> = speaking.join_all().await.into_iter().flatten().collect();
    assert_eq!(proxy.faults_left(), 0, "every fault was injected");

    let stored = log(&member).await;
    assert!(stored.iter().map(|message| message.seq).eq(1..=stored.len() as i64), "a gap or a repeat");
    let stored_seqs: BTreeMap<_, _> =
        stored.iter().map(|message| (&*message.client_message_id, message.seq)).collect();
    assert_eq!((stored_seqs.len(), stored.len()), (AUTHORS * EACH, AUTHORS * EACH), "each is stored once");
    for (id, seq) in &acknowledged {
        assert_eq!(stored_seqs.get(id.as_str()), Some(seq), "{id} was acknowledged");
    }
    for message in &stored {
        let heard = listening.message().await;
        assert_eq!((heard.seq, heard.message_id), (message.seq, message.message_id.clone()));
    }
    let figures = format!("20 times, {} acknowledged, all stored once", acknowledged.len());
    report("COMMIT cut off", &figures);
}

async fn a_commit_that_stays_in_doubt_is_unavailable_and_stored_once(database: Database) {
    let proxy = Proxy::start(database.address()).await.unwrap();
    let app = TestApp::start(&database.at(proxy.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut listening = member.subscribe(None).await.unwrap();
    proxy.fail_commits([Hold]);
    let request =
        SendMessageRequest { body: "cAnary body of it".to_owned(), client_message_id: "it".to_owned() };
    let first = tokio::spawn({
        let (member, request) = (member.clone(), request.clone());
        async move { member.call(request).await }
    });
    within("a COMMIT", proxy.fault_met()).await;
    first.await.unwrap().refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    // Until the outcome is known, no message is written after it.
    member.on_new_connection().call(request).await.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    proxy.release();
    let stored = send_until_stored(&member, "it").await;
    assert_eq!((stored.seq, send_until_stored(&member, "next").await.seq), (1, 2));
    let bodies: Vec<_> = log(&member).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["cAnary body of it", "cAnary body of next"]);
    let heard =
        listening.find(|event| if let Event::Message(message) = event { Some(message) } else { None });
    assert_eq!(heard.await.message_id, stored.message_id);
    assert_eq!(listening.message().await.seq, 2);
}

/// Returns the process of PostgreSQL whose last statement was the fast path's, unless it is `ended`.
async fn backend_of_lane(operator: &DatabaseConnection, ended: Option<i32>) -> Option<i32> {
    let ended = ended.unwrap_or_default();
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
         AND pid NOT IN (pg_backend_pid(), {ended}) AND query LIKE '%WITH draft AS (%'"
    );
    let row =
        operator.query_one_raw(Statement::from_string(operator.get_database_backend(), sql)).await.unwrap();
    row.map(|row| row.try_get("", "pid").unwrap())
}

async fn has_backend(operator: &DatabaseConnection, pid: i32) -> bool {
    let sql = format!("SELECT pid FROM pg_stat_activity WHERE pid = {pid}");
    let row = operator.query_one_raw(Statement::from_string(operator.get_database_backend(), sql)).await;
    row.unwrap().is_some()
}

/// The log's fast path commits in the statement that writes. Its outcome is found by the message's id.
async fn an_append_that_is_cut_is_looked_up(database: Database) {
    let proxy = Proxy::start(database.address()).await.unwrap();
    let app = TestApp::start(&database.at(proxy.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut listening = member.subscribe(Some(Start::After(ResumePoint::default()))).await.unwrap();
    let operator = database.connect().await;
    let (mut sent, mut backend) = (0, None);
    for (nth, fault) in [CutBefore, CutAfter, CutDuring].into_iter().enumerate() {
        // Until the lane has opened its connection again, its own transactions write.
        let appended = async {
            loop {
                sent += 1;
                assert_eq!(send_until_stored(&member, &format!("before {sent}")).await.seq, sent);
                if let Some(pid) = backend_of_lane(&operator, backend).await {
                    return pid;
                }
            }
        };
        backend = Some(within("an append by the fast path", appended).await);
        proxy.fail_commits([fault]);
        sent += 1;
        assert_eq!(send_until_stored(&member, &format!("cut {nth}")).await.seq, sent, "{fault:?}");
        assert_eq!(proxy.appends_met(), nth + 1, "{fault:?}");
    }
    let mut ids = BTreeSet::new();
    for seq in 1..=sent {
        let heard = listening.message().await;
        assert_eq!(heard.seq, seq);
        assert!(ids.insert(heard.client_message_id), "it is stored twice");
    }
}

/// The log's fast path commits in the statement that writes. If that is on its way for longer than the message may wait, the
/// room goes on without it, and it must store nothing when it arrives.
async fn an_append_that_arrives_too_late_stores_nothing(database: Database) {
    let proxy = Proxy::start(database.address()).await.unwrap();
    let app = TestApp::start(&database.at(proxy.address())).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    // The lane's own transaction checks the membership, and the fast path uses it from then on.
    for seq in 1..=2 {
        assert_eq!(send_until_stored(&member, &format!("before {seq}")).await.seq, seq);
    }
    let operator = database.connect().await;
    let lane = backend_of_lane(&operator, None).await.expect("the lane has appended by the fast path");
    proxy.fail_commits([Hold]);
    let request = SendMessageRequest { body: "without an id".to_owned(), ..Default::default() };
    let held = member.call(request).await;
    held.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    within("an append", proxy.fault_met()).await;
    assert_eq!(send_until_stored(&member, "next").await.seq, 3);
    proxy.release();
    let executed = async { while has_backend(&operator, lane).await {} };
    within("the end of the connection that was held", executed).await;
    assert_eq!(send_until_stored(&member, "after").await.seq, 4);
    let bodies: Vec<_> = log(&member).await.into_iter().map(|message| message.body).collect();
    assert!(!bodies.iter().any(|body| body == "without an id"), "{bodies:?}");
}

/// The schema refuses no message that the server accepts, so the test adds a constraint.
async fn a_message_that_the_database_refuses_does_not_fail_its_batch(database: Database) {
    const EACH: usize = 50;
    let app = TestApp::with(&database, &[("STREAMS_PER_USER", "0")]).await;
    let user = app.user().await;
    let rooms = [user.create_room().await, user.create_room().await];
    let operator = database.connect().await;
    let rule = "ALTER TABLE messages ADD CONSTRAINT decency CHECK (body <> 'something rude')";
    operator.execute_unprepared(rule).await.unwrap();
    let mut speaking = JoinSet::new();
    for author in 0..20 {
        let member = user.join(&rooms[author % 2]).await;
        speaking.spawn(async move {
            let mut chat = member.on_new_connection().chat().await.unwrap();
            for nth in 0..EACH {
                let body = if (author, nth) == (7, 20) { "something rude" } else { "something polite" };
                chat.say_as(&format!("{author}-{nth}"), body).await;
            }
            let (mut stored, mut refused) = (0, Vec::new());
            while stored + refused.len() < EACH {
                let response = chat.next().await;
                if !response.client_message_id.starts_with(&format!("{author}-")) {
                    continue;
                }
                match response.rejected {
                    None => stored += 1,
                    Some(rejected) => refused.push((response.client_message_id, rejected.reason)),
                }
            }
            refused
        });
    }
    let refused: Vec<_> = speaking.join_all().await.into_iter().flatten().collect();
    assert_eq!(refused, [("7-20".to_owned(), "INTERNAL".to_owned())]);
}

//! The log when PostgreSQL is slow, held by others or cut off: nothing is lost, doubled or out of place, and a room
//! in trouble is in trouble alone.

use std::collections::{BTreeMap, BTreeSet};

use grpcchatter_proto::v1::{
    ListMessagesRequest, Message, ResumePoint, SendMessageRequest, subscribe_request::Start,
    subscribe_response::Event,
};
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait as _,
};
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{
    Database, Fault, Member, Proxy, Refused as _, Room, TestApp, on_postgres, report, within,
};

on_postgres! {
    a_room_that_another_session_holds_holds_nobody_else_up,
    messages_wait_behind_one_another_for_a_room_that_is_held,
    whoever_is_in_a_room_that_is_held_logs_in_and_out_all_the_same,
    a_commit_that_was_cut_off_is_looked_up,
    a_commit_that_stays_unknown_is_unavailable_and_counts_once,
    a_message_that_the_database_refuses_is_refused_alone,
}

/// Sends until it is stored, as a client does that is told UNAVAILABLE.
async fn insist(member: &Member, id: &str) -> Message {
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

/// Locks a room's row, as another server or an operator may, until the transaction ends.
async fn hold(operator: &DatabaseConnection, room: &Room) -> DatabaseTransaction {
    let transaction = operator.begin().await.unwrap();
    let lock = format!("SELECT id FROM rooms WHERE short_code = '{}' FOR UPDATE", room.short_code);
    transaction.execute_unprepared(&lock).await.unwrap();
    transaction
}

/// Returns the statements that wait for a lock now.
async fn waits(operator: &DatabaseConnection) -> BTreeSet<String> {
    let find = "SELECT pid || ' since ' || query_start AS wait FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let statement = Statement::from_string(operator.get_database_backend(), find);
    let rows = operator.query_all_raw(statement).await.unwrap();
    rows.into_iter().map(|row| row.try_get("", "wait").unwrap()).collect()
}

async fn a_room_that_another_session_holds_holds_nobody_else_up(database: Database) {
    const ROUNDS: usize = 20;
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let mut members = Vec::new();
    // Enough rooms for two in each lane.
    for _ in 0..8 {
        members.push(user.join(&user.create_room().await).await);
    }
    let held = members.remove(0);
    let others = async |seq: i64| {
        for member in &members {
            assert_eq!(member.say("as always").await.seq, seq);
        }
    };
    others(1).await;
    let operator = database.connect().await;
    let transaction = hold(&operator, &held.room).await;
    // Somebody tries again and again to be heard in the room that is held.
    let mut insisting = JoinSet::new();
    for id in ["one", "two"] {
        let member = held.clone();
        insisting.spawn(async move { insist(&member, id).await.seq });
    }
    // A round of the others passes while one statement waits for the lock. Behind that wait none could. Some waits end
    // meanwhile, and their rounds do not count.
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
    assert!(insisting.try_join_next().is_none(), "the lock holds");
    transaction.rollback().await.unwrap();
    let mut seqs = within("the held room", insisting.join_all()).await;
    seqs.sort_unstable();
    assert_eq!(seqs, [1, 2]);
    assert_eq!(log(&held).await.len(), 2);
}

async fn whoever_is_in_a_room_that_is_held_logs_in_and_out_all_the_same(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let stream = member.subscribe(None).await.unwrap();
    let operator = database.connect().await;
    let transaction = hold(&operator, &member.room).await;
    let again = user.log_in_again().await;
    for session in [user, again] {
        assert_eq!(session.rest("POST", "/logout", Value::Null).await.status, 204);
    }
    within("the end of the stream", stream.end()).await.refused(Code::Unauthenticated, "TOKEN_REVOKED");
    transaction.rollback().await.unwrap();
}

async fn messages_wait_behind_one_another_for_a_room_that_is_held(database: Database) {
    let app = TestApp::start(&database).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let operator = database.connect().await;
    let transaction = hold(&operator, &member.room).await;
    let mut chat = member.chat().await.unwrap();
    for id in 0..10 {
        chat.say_as(&format!("{id:02}"), "waits").await;
    }
    let waits = async {
        let find = "SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted";
        loop {
            let statement = Statement::from_string(operator.get_database_backend(), find);
            let row = operator.query_one_raw(statement).await.unwrap().unwrap();
            if row.try_get::<i64>("", "waiting").unwrap() > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within("a writer that waits for the lock", waits).await;
    for id in 10..20 {
        chat.say_as(&format!("{id:02}"), "waits behind").await;
    }
    transaction.rollback().await.unwrap();
    let mut stored = Vec::new();
    for _ in 0..20 {
        let response = chat.next().await;
        match response.rejected {
            None => stored.push((response.seq, response.client_message_id)),
            // A slow machine: a second passed before the lock was let go.
            Some(rejected) => assert_eq!(rejected.reason, "DATABASE_UNAVAILABLE"),
        }
    }
    assert!(stored.is_sorted(), "{stored:?}");
    let ids: Vec<_> = stored.iter().map(|(_, id)| id).collect();
    assert!(ids.is_sorted(), "in the order in which they were said: {ids:?}");
    assert!(stored.iter().map(|(seq, _)| *seq).eq(1..=i64::try_from(stored.len()).unwrap()), "{stored:?}");
    // The room is back in its lane.
    assert_eq!(usize::try_from(member.say("after").await.seq).unwrap(), stored.len() + 1);
}

async fn a_commit_that_was_cut_off_is_looked_up(database: Database) {
    const AUTHORS: usize = 4;
    const EACH: usize = 30;
    let proxy = Proxy::before(&database).await;
    let app = TestApp::start(&database.through(&proxy)).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut listening = member.subscribe(Some(Start::After(ResumePoint::default()))).await.unwrap();
    proxy.strike([Fault::CutBefore, Fault::CutAfter, Fault::CutAfter, Fault::CutBefore].repeat(5));
    let mut speaking = JoinSet::new();
    for author in 0..AUTHORS {
        let member = member.clone();
        speaking.spawn(async move {
            let mut acknowledged = Vec::new();
            for nth in 0..EACH {
                let id = format!("{author}-{nth:02}");
                acknowledged.push((id.clone(), insist(&member, &id).await.seq));
            }
            acknowledged
        });
    }
    let acknowledged: Vec<_> = speaking.join_all().await.into_iter().flatten().collect();
    assert_eq!(proxy.faults_left(), 0, "every fault has struck");

    let stored = log(&member).await;
    assert!(stored.iter().map(|message| message.seq).eq(1..=stored.len() as i64), "a gap or a repeat");
    let places: BTreeMap<_, _> =
        stored.iter().map(|message| (&*message.client_message_id, message.seq)).collect();
    assert_eq!((places.len(), stored.len()), (AUTHORS * EACH, AUTHORS * EACH), "each is stored once");
    for (id, seq) in &acknowledged {
        assert_eq!(places.get(id.as_str()), Some(seq), "{id} was acknowledged");
    }
    for message in &stored {
        let heard = listening.message().await;
        assert_eq!((heard.seq, heard.message_id), (message.seq, message.message_id.clone()));
    }
    let figures = format!("20 times, {} acknowledged, all kept, none twice", acknowledged.len());
    report("COMMIT cut off", &figures);
}

async fn a_commit_that_stays_unknown_is_unavailable_and_counts_once(database: Database) {
    let proxy = Proxy::before(&database).await;
    let app = TestApp::start(&database.through(&proxy)).await;
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut listening = member.subscribe(None).await.unwrap();
    proxy.strike([Fault::Held]);
    let request =
        SendMessageRequest { body: "cAnary body of it".to_owned(), client_message_id: "it".to_owned() };
    let first = tokio::spawn({
        let (member, request) = (member.clone(), request.clone());
        async move { member.call(request).await }
    });
    proxy.struck().await;
    first.await.unwrap().refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    // Until it is known, nothing is written behind it.
    member.elsewhere().call(request).await.refused(Code::Unavailable, "DATABASE_UNAVAILABLE");
    proxy.release();
    let stored = insist(&member, "it").await;
    assert_eq!((stored.seq, insist(&member, "next").await.seq), (1, 2));
    let bodies: Vec<_> = log(&member).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["cAnary body of it", "cAnary body of next"]);
    let heard =
        listening.find(|event| if let Event::Message(message) = event { Some(message) } else { None });
    assert_eq!(heard.await.message_id, stored.message_id);
    assert_eq!(listening.message().await.seq, 2);
}

/// Nothing that a client may say is refused by the database as it is made; here it has a rule of its own.
async fn a_message_that_the_database_refuses_is_refused_alone(database: Database) {
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
            let mut chat = member.elsewhere().chat().await.unwrap();
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

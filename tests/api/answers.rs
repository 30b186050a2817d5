//! The memory of answers that nobody reads is bounded, and comes back.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use grpcchatter_proto::v1::{JoinChatRoomRequest, ListMessagesRequest};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::harness::{
    Database, Dialect, Member, PASSWORD, Rpc, TestApp, Unread, User, Version, Victim, frame, length,
    on_each_database, within,
};

on_each_database! {
    a_page_ends_at_256_kib_and_says_that_there_is_more,
    unread_answers_of_one_account_hold_a_bounded_memory_and_give_it_back,
    an_answer_is_made_once_its_connection_has_memory_for_it,
    one_who_leaves_answers_unread_keeps_nobody_else_from_theirs,
    a_peer_of_http_1_that_does_not_read_is_cut_off,
}

/// Fills a room with messages of 4,096 bytes.
async fn full_room(app: &TestApp, messages: usize) -> (User, Member) {
    let user = app.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut chat = member.chat().await.unwrap();
    for nth in 0..messages {
        chat.say_as(&format!("{nth}"), &"x".repeat(4_096)).await;
        assert!(chat.next().await.rejected.is_none());
    }
    (user, member)
}

async fn a_page_ends_at_256_kib_and_says_that_there_is_more(database: Database) {
    let app = TestApp::start(&database).await;
    let (_, member) = full_room(&app, 100).await;
    let all = ListMessagesRequest { page_size: 200, ..Default::default() };
    for dialect in Dialect::ALL {
        let page = member.speaking(dialect).call(all).await.unwrap();
        assert!(prost::Message::encoded_len(&page) <= 256 * 1024);
        assert_eq!((page.more, page.first_seq, page.last_seq), (true, 1, 100));
        assert!(page.messages.len() > 50 && page.messages.last().unwrap().seq == 100, "the newest first");
    }
    // From either end the pages add up to the log, without a gap.
    let (mut before, mut seen) = (0, Vec::new());
    loop {
        let page = member.call(ListMessagesRequest { before_seq: before, ..all }).await.unwrap();
        seen.splice(0..0, page.messages.iter().map(|message| message.seq));
        before = page.messages[0].seq;
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = member.call(ListMessagesRequest { after_seq: Some(after), ..all }).await.unwrap();
        seen.extend(page.messages.iter().map(|message| message.seq));
        after = *seen.last().unwrap();
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
}

/// Returns how much memory unread answers hold.
async fn held(app: &TestApp) -> u64 {
    let answer = app.send(Version::H1, "GET", "/metrics", &[], b"").await;
    let line = answer.text().lines().find_map(|line| line.strip_prefix("grpcchatter_answer_bytes "));
    line.unwrap().parse().unwrap()
}

async fn unread_answers_of_one_account_hold_a_bounded_memory_and_give_it_back(database: Database) {
    let app = TestApp::with(&database, &[("CALLS_PER_USER", "")]).await;
    let (_, member) = full_room(&app, 70).await;
    let (_, neighbour) = full_room(&app, 70).await;
    let all = ListMessagesRequest { page_size: 200, ..Default::default() };
    let mut unread = Vec::new();
    let mut refused = 0;
    for _ in 0..2 {
        let socket = TcpStream::connect(app.address()).await.unwrap();
        let mut builder = h2::client::Builder::new();
        let (mut client, connection) =
            builder.initial_window_size(0).handshake::<_, Bytes>(socket).await.unwrap();
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..200 {
            client = client.ready().await.unwrap();
            let head = http::Request::post(format!("http://x{}", ListMessagesRequest::PATH))
                .header("content-type", "application/grpc")
                .header("token", member.token())
                .body(())
                .unwrap();
            let (answer, mut body) = client.send_request(head, false).unwrap();
            body.send_data(frame(&all), true).unwrap();
            answers.push(answer);
        }
        unread.push((client, answers));
    }
    // What is over the limit is told so; a page lies unread for each call that may be under way.
    let mut heads = Vec::new();
    for (_, answers) in &mut unread {
        for answer in answers.drain(..) {
            let head = within("a head", answer).await.unwrap();
            refused += usize::from(head.headers().contains_key("grpc-status"));
            // Dropping it would reset the stream.
            heads.push(head);
        }
    }
    assert_eq!(refused, 400 - 16);
    let now = held(&app).await;
    assert!((16 * 200 * 1024..=16 * 300 * 1024).contains(&now), "{now}");
    let page = neighbour.call(all).await.unwrap();
    assert!(!page.messages.is_empty(), "somebody else is answered meanwhile");
    drop((unread, heads));
    let given_back = async { while held(&app).await > 0 {} };
    within("the memory to be given back", given_back).await;
}

async fn an_answer_is_made_once_its_connection_has_memory_for_it(database: Database) {
    let app = TestApp::start(&database).await;
    let (_, member) = full_room(&app, 70).await;
    let all = ListMessagesRequest { page_size: 200, ..Default::default() };
    let mut unread = Unread::on(app.address()).await;
    let mut pages = Vec::new();
    for _ in 0..16 {
        let page = unread.ask(&member, &all).await;
        pages.push(within("a head", page).await.unwrap());
    }
    // There is nothing after the newest yet.
    let newer = ListMessagesRequest { after_seq: Some(70), ..all };
    let mut waiting = unread.ask(&member, &newer).await;
    for nth in 1..=3 {
        member.say(&"x".repeat(1_000)).await;
        // Another connection has memory of its own.
        assert_eq!(member.elsewhere().call(newer).await.unwrap().messages.len(), nth);
    }
    assert!((&mut waiting).now_or_never().is_none(), "there is no memory for it yet");
    drop(pages.pop());
    let length = length(within("a head", waiting).await.unwrap()).await;
    assert!(length > 3 * 1_000, "the log was read before there was memory for it: {length} bytes");
}

/// Says whether an answer that lies unread has been reset.
fn is_reset(answer: &mut http::Response<h2::RecvStream>) -> bool {
    loop {
        match answer.body_mut().data().now_or_never() {
            Some(Some(Ok(_))) => {}
            ended => return ended.is_some(),
        }
    }
}

async fn one_who_leaves_answers_unread_keeps_nobody_else_from_theirs(database: Database) {
    let app = TestApp::with(&database, &[("ANSWER_MEMORY", "4MiB")]).await;
    let (_, greedy) = full_room(&app, 70).await;
    let (_, other) = full_room(&app, 70).await;
    let all = ListMessagesRequest { page_size: 200, ..Default::default() };
    let (mut connections, mut asked, mut pages) = (Vec::new(), JoinSet::new(), Vec::new());
    for _ in 0..2 {
        let mut unread = Unread::on(app.address()).await;
        for _ in 0..16 {
            asked.spawn(unread.ask(&greedy, &all).await);
        }
        connections.push(unread);
    }
    // Pages of a quarter of a mebibyte: those that three have room for, and one that is the first of its payer.
    for _ in 0..3 * 4 + 1 {
        pages.push(within("a head", asked.join_next()).await.unwrap().unwrap().unwrap());
    }
    for dialect in Dialect::ALL {
        other.speaking(dialect).call(all).await.unwrap();
    }
    if asked.try_join_next().is_some() {
        // On a busy machine that takes as long as an answer may lie unread: there is memory only since some were reset.
        let reset = async {
            while !pages.iter_mut().any(is_reset) {
                tokio::task::yield_now().await;
            }
        };
        within("the reset of an answer that was not read", reset).await;
    }
}

async fn a_peer_of_http_1_that_does_not_read_is_cut_off(database: Database) {
    // Memory is tight as soon as one page lies unread, so that patience is short.
    let app = TestApp::with(&database, &[("ANSWER_MEMORY", "4MiB")]).await;
    let (_, member) = full_room(&app, 70).await;
    let all = ListMessagesRequest { page_size: 200, ..Default::default() };
    let body = Dialect::Web.encode(&all);
    let mut sockets = Vec::new();
    for _ in 0..12 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut socket = socket.connect(app.address()).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\ncontent-type: {}\r\ntoken: {}\r\ncontent-length: {}\r\n\r\n",
            ListMessagesRequest::PATH,
            Dialect::Web.content_type(),
            member.token(),
            body.len()
        );
        // Several on each connection: more than the buffers of the system take.
        for _ in 0..20 {
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&body).await.unwrap();
        }
        sockets.push(socket);
    }
    // The system has taken what it takes, and they lie unread.
    let lie_unread = async { while held(&app).await < 6 * 200 * 1024 {} };
    within("answers that lie unread", lie_unread).await;
    let given_back = async { while held(&app).await > 0 {} };
    tokio::time::timeout(Duration::from_secs(120), given_back).await.expect("the memory to be given back");
    for mut socket in sockets {
        // What the system had taken comes, and then an end.
        let mut read = Vec::new();
        drop(within("an end", socket.read_to_end(&mut read)).await);
        assert!(read.len() < 20 * 240 * 1024, "all of it was sent: {} bytes", read.len());
    }
    let victim = Victim::of(&app).await;
    victim.noticed_nothing().await;
    let again = JoinChatRoomRequest { short_code: member.room.short_code.clone(), ..Default::default() };
    let account = json!({"user_name": member.name, "password": PASSWORD});
    let answer = app.anonymous().rest("POST", "/login", account).await;
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    app.anonymous().with_token(&token).call(again).await.unwrap();
}

//! Unread answers use bounded memory, which is released.

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
    Bystander, Database, Dialect, Member, PASSWORD, Rpc, TestApp, Unread, User, Version, frame, length,
    on_each_database, within,
};

on_each_database! {
    a_page_ends_at_256_kib_and_says_that_there_is_more,
    unread_answers_of_one_account_use_bounded_memory_until_they_end,
    an_answer_is_produced_only_when_its_connection_has_memory_for_it,
    unread_answers_of_one_user_block_no_other_user,
    an_http_1_peer_that_does_not_read_is_disconnected,
}

/// Creates a room with messages of 4,096 bytes.
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
        let page = member.with_dialect(dialect).call(all).await.unwrap();
        assert!(prost::Message::encoded_len(&page) <= 256 * 1024);
        assert_eq!((page.more, page.first_seq, page.last_seq), (true, 1, 100));
        assert!(page.messages.len() > 50 && page.messages.last().unwrap().seq == 100, "the newest first");
    }
    // From either end the pages add up to the whole log.
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

/// Returns the memory of unread answers from the metrics, in bytes.
async fn unread_bytes(app: &TestApp) -> u64 {
    let answer = app.send(Version::H1, "GET", "/metrics", &[], b"").await;
    let line = answer.text().lines().find_map(|line| line.strip_prefix("grpcchatter_answer_bytes "));
    line.unwrap().parse().unwrap()
}

async fn unread_answers_of_one_account_use_bounded_memory_until_they_end(database: Database) {
    let app = TestApp::with(&database, &[("CALLS_PER_USER", "")]).await;
    let (_, member) = full_room(&app, 70).await;
    let (_, other) = full_room(&app, 70).await;
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
    // Each call that may be in flight leaves a page unread. The calls above that limit are refused.
    let mut responses = Vec::new();
    for (_, answers) in &mut unread {
        for answer in answers.drain(..) {
            let head = within("a head", answer).await.unwrap();
            refused += usize::from(head.headers().contains_key("grpc-status"));
            // Kept, since dropping it would reset the stream.
            responses.push(head);
        }
    }
    assert_eq!(refused, 400 - 16);
    let now = unread_bytes(&app).await;
    assert!((16 * 200 * 1024..=16 * 300 * 1024).contains(&now), "{now}");
    let page = other.call(all).await.unwrap();
    assert!(!page.messages.is_empty(), "another user is answered meanwhile");
    drop((unread, responses));
    let released = async { while unread_bytes(&app).await > 0 {} };
    within("the release of the memory", released).await;
}

async fn an_answer_is_produced_only_when_its_connection_has_memory_for_it(database: Database) {
    let app = TestApp::start(&database).await;
    let (_, member) = full_room(&app, 70).await;
    let all = ListMessagesRequest { page_size: 200, ..Default::default() };
    let mut unread = Unread::on(app.address()).await;
    let mut pages = Vec::new();
    for _ in 0..16 {
        let page = unread.ask(&member, &all).await;
        pages.push(within("a head", page).await.unwrap());
    }
    // No message is newer yet, so the answer would be empty if it were produced now.
    let newer = ListMessagesRequest { after_seq: Some(70), ..all };
    let mut waiting = unread.ask(&member, &newer).await;
    for nth in 1..=3 {
        member.say(&"x".repeat(1_000)).await;
        // Another connection has its own memory.
        assert_eq!(member.on_new_connection().call(newer).await.unwrap().messages.len(), nth);
    }
    assert!((&mut waiting).now_or_never().is_none(), "it was answered without memory for it");
    drop(pages.pop());
    let length = length(within("a head", waiting).await.unwrap()).await;
    assert!(
        length > 3 * 1_000,
        "the log was read before its connection had memory for the answer: {length} bytes"
    );
}

/// Returns whether an unread answer was reset.
fn is_reset(answer: &mut http::Response<h2::RecvStream>) -> bool {
    loop {
        match answer.body_mut().data().now_or_never() {
            Some(Some(Ok(_))) => {}
            ended => return ended.is_some(),
        }
    }
}

async fn unread_answers_of_one_user_block_no_other_user(database: Database) {
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
    // Pages of 256 KiB: three MiB of them, and one more, since a payer's first page is always admitted.
    for _ in 0..3 * 4 + 1 {
        pages.push(within("a head", asked.join_next()).await.unwrap().unwrap().unwrap());
    }
    for dialect in Dialect::ALL {
        other.with_dialect(dialect).call(all).await.unwrap();
    }
    if asked.try_join_next().is_some() {
        // On a busy machine the calls above take so long that unread answers were reset, which made room for this one.
        let reset = async {
            while !pages.iter_mut().any(is_reset) {
                tokio::task::yield_now().await;
            }
        };
        within("the reset of an unread answer", reset).await;
    }
}

async fn an_http_1_peer_that_does_not_read_is_disconnected(database: Database) {
    // With so little memory one unread page makes it scarce, which shortens the time to read it.
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
        // More answers on each connection than the system's buffers hold.
        for _ in 0..20 {
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&body).await.unwrap();
        }
        sockets.push(socket);
    }
    // The system's buffers are full, and the server holds the rest.
    let unread = async { while unread_bytes(&app).await < 6 * 200 * 1024 {} };
    within("unread answers", unread).await;
    let released = async { while unread_bytes(&app).await > 0 {} };
    tokio::time::timeout(Duration::from_secs(120), released).await.expect("the memory is released");
    for mut socket in sockets {
        // What the system had buffered arrives, and then the connection ends.
        let mut read = Vec::new();
        drop(within("an end", socket.read_to_end(&mut read)).await);
        assert!(read.len() < 20 * 240 * 1024, "the server sent everything: {} bytes", read.len());
    }
    let bystander = Bystander::of(&app).await;
    bystander.was_not_slowed_down().await;
    let again = JoinChatRoomRequest { short_code: member.room.short_code.clone(), ..Default::default() };
    let account = json!({"user_name": member.name, "password": PASSWORD});
    let answer = app.anonymous().rest("POST", "/login", account).await;
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    app.anonymous().with_token(&token).call(again).await.unwrap();
}

//! Flow-control windows for requests that the server does not read yet: small for a client, and on a proxy's connection so large that
//! one client does not block the others.

use futures_util::FutureExt as _;
use grpcchatter_proto::v1::{ListMessagesRequest, SendMessageRequest};
use tokio::task::JoinSet;

use crate::harness::{Database, Rpc as _, TestApp, Unread, fill, frame, on_each_database, within};

on_each_database! {
    a_connection_has_a_small_window_for_requests_that_are_not_read_yet,
    one_client_of_a_proxy_blocks_no_other_on_its_connection,
    five_hundred_calls_at_once_on_one_connection_are_all_answered,
}

/// The windows of a stream and of a connection, in bytes.
const STREAM_WINDOW: usize = 16 * 1024;
const CONNECTION_WINDOW: usize = 256 * 1024;

/// A request whose body is being sent.
type Upload = (h2::client::ResponseFuture, h2::SendStream<bytes::Bytes>);

/// Starts logins: the body of the first never comes, so the others wait for it. Fills their windows, and returns how much each took.
async fn fill_windows(
    unread: &mut Unread,
    count: usize,
    headers: &[(&str, &str)],
) -> (Vec<Upload>, Vec<usize>) {
    let mut uploads = vec![unread.post("/login", headers).await];
    for _ in 0..count {
        uploads.push(unread.post("/login", headers).await);
    }
    // The server has received all headers, and its windows are known.
    unread.is_answered().await;
    let sizes = uploads[1..].iter_mut().map(|(_, body)| fill(body)).collect();
    (uploads, sizes)
}

async fn a_connection_has_a_small_window_for_requests_that_are_not_read_yet(database: Database) {
    let app = TestApp::with(&database, &[("ANONYMOUS_CALLS", "1")]).await;
    let mut unread = Unread::on(app.address()).await;
    let (_uploads, sizes) = fill_windows(&mut unread, 20, &[]).await;
    assert!(sizes.iter().all(|size| *size <= STREAM_WINDOW), "{sizes:?}");
    let all: usize = sizes.iter().sum();
    assert!((1..=CONNECTION_WINDOW).contains(&all), "{all}: {sizes:?}");
}

async fn one_client_of_a_proxy_blocks_no_other_on_its_connection(database: Database) {
    let settings = [("ANONYMOUS_CALLS", "1"), ("TRUSTED_PROXIES", "127.0.0.0/8")];
    let app = TestApp::with(&database, &settings).await;
    let user = app.user().await;
    let member = user.join(&user.create_room_with("").await).await;
    let mut proxy = Unread::on(app.address()).await;
    let (mut uploads, sizes) = fill_windows(&mut proxy, 100, &[("x-forwarded-for", "192.0.2.1")]).await;
    let headers =
        [("content-type", "application/grpc"), ("token", member.token()), ("x-forwarded-for", "192.0.2.2")];
    let (answer, mut body) = proxy.post(SendMessageRequest::PATH, &headers).await;
    let message = SendMessageRequest { body: "x".repeat(4_000), ..Default::default() };
    body.send_data(frame(&message), true).unwrap();
    let answer = within("an answer", answer).await.unwrap();
    assert!(!answer.headers().contains_key("grpc-status"), "{answer:?}");
    for (answer, _) in &mut uploads {
        assert!(answer.now_or_never().is_none(), "a login was answered before the message: {sizes:?}");
    }
}

async fn five_hundred_calls_at_once_on_one_connection_are_all_answered(database: Database) {
    let app = TestApp::start(&database).await;
    let member = app.user().await;
    let member = member.join(&member.create_room().await).await;
    let mut calls = JoinSet::new();
    for _ in 0..500 {
        let caller = member.with_token(member.token());
        calls.spawn(async move { caller.call(ListMessagesRequest::default()).await.map(drop) });
    }
    for answered in calls.join_all().await {
        answered.unwrap();
    }
}

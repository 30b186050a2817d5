//! The rest of a refused request over HTTP/2: the answer reaches a client that is still sending.

use std::future::poll_fn;

use bytes::Bytes;
use grpcchatter_testbed::find_program;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Database, TestApp, h2, h2_post, on_each_database, within};

on_each_database! {
    a_refused_body_does_not_reset_its_http2_stream,
    the_rest_of_a_refused_body_is_read_over_http2,
    only_a_bounded_rest_of_a_refused_body_is_read_over_http2,
    curl_shows_why_a_body_is_refused_over_http2,
}

/// Sends a body of `length` bytes as the windows allow. The windows only open for all of it if the server reads all of it.
async fn send_all(sending: &mut h2::SendStream<Bytes>, length: usize) {
    let mut left = length;
    while left > 0 {
        sending.reserve_capacity(left);
        let window = poll_fn(|context| sending.poll_capacity(context));
        let window = within("a window", window).await.expect("the stream stays open");
        let count = window.expect("the stream is not reset").min(left);
        left -= count;
        sending.send_data(vec![b'x'; count].into(), left == 0).expect("the stream stays open");
    }
}

async fn a_refused_body_does_not_reset_its_http2_stream(database: Database) {
    let app = TestApp::start(&database).await;
    let mut client = h2(app.address()).await;
    for length in [200_000, 1_000_000_usize] {
        let announced = [("content-length", &*length.to_string())];
        let (answer, mut sending) = client.send_request(h2_post("/login", &announced), false).unwrap();
        if length == 200_000 {
            send_all(&mut sending, length).await;
        }
        let (head, mut body) = within("an answer", answer).await.unwrap().into_parts();
        assert_eq!(head.status, 413);
        let mut read = 0;
        while let Some(data) = within("a body", body.data()).await {
            read += data.unwrap().len();
        }
        assert_eq!(head.headers["content-length"], read.to_string());
        if length == 1_000_000 {
            let reset = within("a reset", poll_fn(|context| sending.poll_reset(context))).await.unwrap();
            assert_eq!(reset, h2::Reason::NO_ERROR);
        }
        client = client.ready().await.unwrap();
    }
}

/// Some clients read nothing before they have sent everything.
async fn the_rest_of_a_refused_body_is_read_over_http2(database: Database) {
    const SEND: &str = "/grpcchatter.v1.ChatService/SendMessage";
    let app = TestApp::start(&database).await;
    let mut client = h2(app.address()).await;
    for (path, content_type, is_announced, status) in [
        ("/login", "application/json", true, 413),
        ("/login", "application/json", false, 413),
        ("/nothing", "text/plain", false, 404),
        (SEND, "application/grpc", true, 200),
        (SEND, "application/grpc-web", false, 200),
    ] {
        for length in [300_000, 3_000_000_usize] {
            let announced = length.to_string();
            let headers =
                [("content-type", content_type), ("te", "trailers"), ("content-length", &announced)];
            let request = h2_post(path, &headers[..2 + usize::from(is_announced)]);
            let (answer, mut sending) = client.send_request(request, false).unwrap();
            send_all(&mut sending, length).await;
            let (head, mut body) = within("an answer", answer).await.unwrap().into_parts();
            assert_eq!(head.status, status, "{path} {content_type} {length}");
            while let Some(data) = within("a body", body.data()).await {
                data.expect("the answer ends without a reset");
            }
            client = client.ready().await.unwrap();
        }
    }
}

/// A client that sends without end gets the answer and then a reset.
async fn only_a_bounded_rest_of_a_refused_body_is_read_over_http2(database: Database) {
    const PIECE: usize = 16 << 10;
    let app = TestApp::start(&database).await;
    for (path, content_type, status) in [
        ("/nothing", "text/plain", 404),
        ("/grpcchatter.v1.ChatService/SendMessage", "application/grpc", 200),
    ] {
        let headers = [("content-type", content_type), ("te", "trailers")];
        let mut client = h2(app.address()).await;
        let (answer, mut sending) = client.send_request(h2_post(path, &headers), false).unwrap();
        let mut sent = 0;
        loop {
            sending.reserve_capacity(PIECE);
            let window = poll_fn(|context| sending.poll_capacity(context));
            let Some(Ok(count)) = within("a window or a reset", window).await else { break };
            if sending.send_data(vec![b'x'; count].into(), false).is_err() {
                break;
            }
            sent += count;
        }
        assert!((1 << 20..5 << 20).contains(&sent), "{path}: {sent}");
        let (head, mut body) = within("an answer", answer).await.unwrap().into_parts();
        assert_eq!(head.status, status);
        while let Some(data) = within("a body", body.data()).await {
            data.expect("the answer ends without a reset");
        }
        let reset = within("a reset", poll_fn(|context| sending.poll_reset(context))).await.unwrap();
        assert_eq!(reset, h2::Reason::NO_ERROR);
    }
}

/// curl sends until it sees the answer, and drops an answer that is followed by a reset at once. The last length is above the limit.
async fn curl_shows_why_a_body_is_refused_over_http2(database: Database) {
    let Some(curl) = find_program("curl") else {
        let is_required = std::env::var_os("REQUIRE_CURL").is_some_and(|value| value == "1");
        assert!(!is_required, "there is no curl in the PATH");
        println!("skipped: there is no curl in the PATH");
        return;
    };
    let (app, folder) = (TestApp::start(&database).await, TempDir::new().unwrap());
    let file = folder.path().join("body");
    for length in [300_000, 3_000_000, 20_000_000] {
        std::fs::write(&file, vec![b'x'; length]).unwrap();
        for path in ["login", "nothing"] {
            let mut command = Command::new(&curl);
            command.args(["--silent", "--show-error", "--http2-prior-knowledge", "--max-time", "20"]);
            command.args(["--output", "/dev/null", "--write-out", "%{http_code}", "--data-binary"]);
            command.arg(format!("@{}", file.display())).arg(format!("http://{}/{path}", app.address()));
            let output = within("curl's end", command.kill_on_drop(true).output()).await.unwrap();
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{path} {length}: {output:?}");
            assert_eq!(answer, "413", "{path} {length}");
        }
    }
}

//! Streams that are not read: they cost the server little memory, and their connection is closed when it has no other stream.

use std::time::{Duration, Instant};

use grpcchatter_proto::v1::{SubscribeRequest, SubscribeResponse, subscribe_response::Event};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use prost::Message as _;
use tempfile::TempDir;

use crate::harness::{
    Chat, Connection, DEADLINE, Database, Dialect, Frame, Frames, Member, Process, SUBSCRIBE, Version,
    on_each_database, report, request, within,
};

on_each_database! { a_connection_is_closed_when_none_of_its_streams_is_read }

/// Opens unread subscriptions on a connection with windows of 16 KiB.
async fn unread(member: &Member, count: usize) -> (Connection, Vec<Incoming>) {
    let mut connection = Connection::narrow(member.address).await;
    let mut bodies = Vec::new();
    for _ in 0..count {
        let headers = [("content-type", Dialect::Web.content_type()), ("token", member.token())];
        let body = Dialect::Web.encode(&SubscribeRequest::default());
        let answer = connection.start(request("POST", SUBSCRIBE, &headers, body)).await;
        assert!(!answer.headers().contains_key("grpc-status"), "{answer:?}");
        bodies.push(answer.into_body());
    }
    (connection, bodies)
}

/// Returns the server's resident memory, in KiB.
async fn memory(server: &Process) -> u64 {
    let mut connection = Connection::open(server.address(), Version::H1).await;
    let metrics = connection.send(request("GET", "/metrics", &[], "")).await;
    let line = metrics.text().lines().find(|line| line.starts_with("process_resident_memory_bytes "));
    line.unwrap().rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64 / 1024
}

/// Sends 800 messages of 2 KB: 1.6 MB for each stream that the server would buffer them for.
async fn send_1_6_megabytes(chat: &mut Chat) {
    let body = format!("cAnary{}", "x".repeat(2_000));
    for round in 0..16 {
        for nth in 0..50 {
            chat.say_as(&format!("{round}-{nth}"), &body).await;
        }
        for _ in 0..50 {
            assert!(chat.next().await.rejected.is_none());
        }
    }
}

/// A subscription that is read all the time.
struct Reader {
    body: Incoming,
    frames: Frames,
    /// The last seq that came.
    seq: i64,
}

impl Reader {
    /// Reads on to a message, and checks that none is missing before it.
    async fn read_to(&mut self, seq: i64) {
        while self.seq < seq {
            match self.frames.next() {
                Some(Frame::Message(message)) => {
                    let response = SubscribeResponse::decode(message).unwrap();
                    if let Some(Event::Message(message)) = response.event {
                        assert_eq!(message.seq, self.seq + 1);
                        self.seq = message.seq;
                    }
                }
                Some(Frame::Trailers(trailers)) => panic!("the stream that is read ended: {trailers:?}"),
                None => {
                    let part = within("a message", self.body.frame()).await.unwrap().unwrap();
                    self.frames.push(part.data_ref().unwrap());
                }
            }
        }
    }
}

/// A stream that is not read is parked after 30 s. A connection on which all streams are parked is closed 30 s later.
async fn a_connection_is_closed_when_none_of_its_streams_is_read(database: Database) {
    const READERS: u64 = 30;
    const LIMIT: Duration = Duration::from_secs(60);
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[("STREAMS_PER_USER", "0")]).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let before = memory(&server).await;
    let mut idle = Vec::new();
    for _ in 0..READERS {
        idle.push(unread(&member, 1).await);
    }
    // One of the two streams on this connection is read all the time.
    let (mut mixed, mut bodies) = unread(&member, 2).await;
    let mut reader = Reader { body: bodies.pop().unwrap(), frames: Dialect::Web.frames(), seq: 0 };
    let mut chat = member.on_new_connection().chat().await.unwrap();
    send_1_6_megabytes(&mut chat).await;
    let started = Instant::now();
    let held = memory(&server).await.saturating_sub(before);
    // 16 MiB for what the room keeps for all of its streams, and for the allocator.
    assert!(held <= READERS * 256 + 16 * 1024, "{held} KiB for {READERS} streams that are not read");

    let mut pause = tokio::time::interval(Duration::from_millis(250));
    let (mut sent, mut closed_after) = (800, None);
    while closed_after.is_none_or(|closed| started.elapsed() < closed + Duration::from_secs(3)) {
        pause.tick().await;
        sent += 1;
        chat.say_as(&sent.to_string(), "as always").await;
        assert_eq!(chat.next().await.seq, sent);
        reader.read_to(sent).await;
        if closed_after.is_none() && idle.iter().all(|(connection, _)| connection.is_closed()) {
            closed_after = Some(started.elapsed());
        }
        assert!(closed_after.is_some() || started.elapsed() < LIMIT + DEADLINE, "they are still open");
    }
    let closed_after = closed_after.unwrap();
    report("parked streams", &format!("{held} KiB for {READERS}, closed after {closed_after:.0?}"));
    assert!(!mixed.is_closed(), "a connection with a stream that is read stays open");
    assert_eq!(mixed.send(request("GET", "/livez", &[], "")).await.status, 200);
    server.kill().await;
}

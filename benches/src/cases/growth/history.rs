//! One room with many messages: the cost of reading it, of writing to it, and of a message in another room.
//!
//! Each size has two rooms that nothing else uses: the one with these messages, and the other one.

use anyhow::{Context as _, Result, ensure};
use grpcchatter_proto::v1::{
    ListMessagesRequest, ListMessagesResponse, ResumePoint, subscribe_response::Event,
};

use super::{Setup, scattered, send};
use crate::{
    curve::Curve,
    load::{grpc::Connection, reader::Reader, subscribers::Subscribers},
};

const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
const SIZE: &str = "messages in the room";
const PAGE: i32 = 50;
/// The messages that a stream has missed when it resumes.
const MISSED: i64 = 50;

/// The curves of history.
pub(super) struct Curves {
    /// Those whose growth is judged.
    pub(super) judged: Vec<Curve>,
    /// A message in another room, which must not notice it.
    pub(super) elsewhere: Curve,
}

pub(super) async fn run(setup: &mut Setup<'_>) -> Result<Curves> {
    let mut newest = Curve::new("history-newest", "CPU µs a ListMessages, newest page", SIZE);
    let mut old = Curve::new("history-old", "CPU µs a ListMessages, any page", SIZE);
    let mut resume = Curve::new("history-resume", "CPU µs a Subscribe, 50 messages behind", SIZE);
    let mut message = Curve::new("history-message", "CPU µs a message in the room", SIZE);
    let mut elsewhere = Curve::new("history-elsewhere", "CPU µs a message in another room", SIZE);
    for messages in setup.scale.sizes(&SIZES) {
        let [room, other] = [setup.population.add().await?, setup.population.add().await?];
        setup.population.fill(room, messages).await?;
        let [token, other] = [room, other].map(|room| setup.population.chat_token(room, room));
        let server = setup.start().await?;
        let connection = server.connect().await?;
        // Both rooms are live.
        let tokens = [&token, &other];
        let _streams = Subscribers::open(server.process.address, &tokens, 1, 2, 1).await?;

        let cost = server.cost(async |_| page(&connection, &token, 0).await.map(drop));
        newest.add(messages, cost.await?);
        let cost = server.cost(async |nth| {
            let before = i64::from(scattered(nth, messages)) + 1 + i64::from(PAGE);
            page(&connection, &token, before).await.map(drop)
        });
        old.add(messages, cost.await?);
        let before = page(&connection, &token, i64::from(messages) + 1 - MISSED).await?;
        ensure!(before.last_seq == i64::from(messages), "the room has {} messages", before.last_seq);
        let point = before.messages.into_iter().next_back();
        let point = point.map(|last| ResumePoint { seq: last.seq, message_id: last.message_id });
        let cost = server.cost(async |_| resumed(&connection, &token, point.clone()).await);
        resume.add(messages, cost.await?);
        elsewhere.add(messages, server.paced_cost(async |_| send(&connection, &other).await).await?);
        // It comes last, since it adds messages to the room.
        message.add(messages, server.paced_cost(async |_| send(&connection, &token).await).await?);
        server.process.stop().await?;
    }
    Ok(Curves { judged: vec![newest, old, resume, message], elsewhere })
}

/// Reads a page of messages before a seq; before 0, the newest.
async fn page(connection: &Connection, token: &str, before_seq: i64) -> Result<ListMessagesResponse> {
    let page = ListMessagesRequest { page_size: PAGE, before_seq, after_seq: None };
    let path = "/grpcchatter.v1.ChatService/ListMessages";
    connection.unary(path, Some(token), &page).await
}

/// Opens a stream after a resume point, and returns when it has received the missed messages and is live.
async fn resumed(connection: &Connection, token: &str, point: Option<ResumePoint>) -> Result<()> {
    let point = point.context("the room has no message")?;
    let mut stream = Reader::open(connection, token, Some(point)).await?;
    let mut received = 0;
    loop {
        match stream.next().await? {
            Event::Message(_) => received += 1,
            Event::CaughtUp(_) => break,
            _ => {}
        }
    }
    ensure!(received == MISSED, "{received} messages instead of {MISSED}");
    Ok(())
}

//! A slow subscriber: ten streams in a room, one of which reads nothing while 50,000 messages are sent.

use std::{cell::Cell, time::Duration};

use anyhow::{Result, bail};
use grpcchatter_proto::v1::ResumePoint;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Scale;
use crate::{
    latencies::Latencies,
    load::{
        bystander,
        chat_sender::{ChatSender, UNANSWERED},
        grpc::Connection,
        reader::Reader,
        subscribers::Subscribers,
    },
    process::Process,
    report::Row,
    server::Gateway,
};

/// The subscribers that read.
const READERS: u32 = 9;
const WARM_UP: u64 = 1_500;
/// Three messages every 2 ms: sending all of them takes longer than the server lets a stream read nothing.
const PACE: Duration = Duration::from_millis(2);
const MESSAGES_PER_TICK: usize = 3;
const NO_WINDOW: u32 = 0;
/// The most memory that the slow subscriber may add, in MB.
const MAX_ADDED_MEMORY: f64 = 1.0;

/// The figures of one run of messages.
#[derive(Debug)]
struct Measured {
    /// From the send to the read, in the room.
    readers: Latencies,
    /// From the send to the answer, in another room.
    elsewhere: Latencies,
    /// The growth of the server's memory, in MB.
    growth: f64,
}

/// The room, its sender and its fast subscribers.
struct Room<'g> {
    server: Process,
    token: &'g str,
    /// The token of another room.
    elsewhere: &'g str,
    readers: Subscribers,
    sender: ChatSender,
    sent: u64,
}

/// The subscriber that reads nothing, and its resume point.
struct SlowSubscriber {
    connection: Connection,
    stream: Reader,
    point: ResumePoint,
}

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let [token, elsewhere, ..] = &gateway.senders[..] else { bail!("no rooms were made") };
    let server = gateway.start().await?;
    let readers = Subscribers::open(server.address, &[token], READERS, 1, 1).await?;
    let connection = Connection::open(server.address).await?;
    let sender = ChatSender::open(&connection, token).await?;
    let mut room = Room { server, token, elsewhere, readers, sender, sent: 0 };
    room.measure(WARM_UP).await?;
    let mut before = room.measure(scale.messages()).await?;
    let slow = room.open_slow_subscriber().await?;
    let mut during = room.measure(scale.messages()).await?;
    let (gaps, took) = room.resume(slow, scale.messages()).await?;
    room.server.stop().await?;

    let row = |name: &str, before: f64, during: f64, floor: f64| {
        let name = format!("one of ten does not read: {name} (before)");
        Row::new(name, during).beside(before).at_most(floor, before)
    };
    let nine = (before.readers.quantile(0.99), during.readers.quantile(0.99));
    let others = (before.elsewhere.quantile(0.99), during.elsewhere.quantile(0.99));
    let count = scale.messages();
    Ok(vec![
        row("p99 of the nine, ms", nine.0, nine.1, 1.5 * nine.0),
        row("p99 of an answer in another room, ms", others.0, others.1, 1.5 * others.0),
        row("memory grows by, MB", before.growth, during.growth, before.growth + MAX_ADDED_MEMORY),
        Row::new(format!("the tenth resumes after {count}: gaps and repeats"), gaps).at_most(0.0, 0.0),
        Row::new("the tenth resumes: time until it has all messages, ms", took),
    ])
}

impl Room<'_> {
    /// Sends messages, and returns the figures once the nine subscribers have received all of them.
    async fn measure(&mut self, count: u64) -> Result<Measured> {
        let (address, elsewhere) = (self.server.address, self.elsewhere);
        let resident = self.server.resident()?;
        self.readers.take_latencies();
        let finished = Cell::new(false);
        let (sent, elsewhere) = tokio::join!(
            async {
                let sent = self.send(count).await;
                finished.set(true);
                sent
            },
            bystander::chat(address, elsewhere, |_| finished.get()),
        );
        sent?;
        Ok(Measured {
            readers: self.readers.take_latencies(),
            elsewhere: elsewhere?,
            growth: (self.server.resident()? - resident) / 1024.0,
        })
    }

    /// Sends messages, and returns once the nine subscribers have received all of them.
    async fn send(&mut self, count: u64) -> Result<()> {
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let end = self.sent + count;
        while self.sent < end {
            ticks.tick().await;
            self.sender.wait_for_unanswered(UNANSWERED / 2).await?;
            self.sender.send(MESSAGES_PER_TICK)?;
            self.sent += MESSAGES_PER_TICK as u64;
        }
        self.sender.wait_for_unanswered(0).await?;
        self.readers.wait_beyond(self.sent - 1).await
    }

    /// Opens the tenth stream after the newest message, on a connection without a window.
    async fn open_slow_subscriber(&mut self) -> Result<SlowSubscriber> {
        // A normal stream finds the newest message's id: it receives all messages after its first event.
        let connection = Connection::open(self.server.address).await?;
        let mut reader = Reader::open(&connection, self.token, None).await?;
        reader.next().await?;
        self.send(MESSAGES_PER_TICK as u64).await?;
        let mut point = ResumePoint::default();
        for _ in 0..MESSAGES_PER_TICK {
            let message = reader.message().await?;
            point = ResumePoint { seq: message.seq, message_id: message.message_id };
        }
        let connection = Connection::open_with_window(self.server.address, NO_WINDOW).await?;
        let stream = Reader::open(&connection, self.token, Some(point.clone())).await?;
        Ok(SlowSubscriber { connection, stream, point })
    }

    /// Reconnects the slow subscriber as a client does. Returns the number of gaps and repeats, and the milliseconds until it
    /// had all messages.
    async fn resume(&self, slow: SlowSubscriber, count: u64) -> Result<(f64, f64)> {
        let SlowSubscriber { connection, stream, point } = slow;
        drop((stream, connection));
        let began = Instant::now();
        let connection = Connection::open(self.server.address).await?;
        let mut seq = point.seq;
        let mut reader = Reader::open(&connection, self.token, Some(point)).await?;
        let mut wrong = 0;
        for _ in 0..count {
            let next = reader.message().await?.seq;
            wrong += u32::from(next != seq + 1);
            seq = next;
        }
        Ok((f64::from(wrong), began.elapsed().as_secs_f64() * 1e3))
    }
}

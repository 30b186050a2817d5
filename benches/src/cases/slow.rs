//! A member who does not read: ten streams in a room, one of which opens no window while 50,000 messages pass.

use std::{cell::Cell, time::Duration};

use anyhow::{Result, bail};
use grpcchatter_proto::v1::ResumePoint;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Scale;
use crate::{
    load::{
        grpc::Connection,
        reader::Reader,
        swarm::Swarm,
        talker::{Talker, UNANSWERED},
        victim,
    },
    process::Process,
    quantiles::Quantiles,
    report::Row,
    server::Gateway,
};

/// Who reads.
const READERS: u32 = 9;
const WARM_UP: u64 = 1_500;
/// Three messages every two milliseconds: what is sent takes longer than a stream may stand still.
const PACE: Duration = Duration::from_millis(2);
const TOGETHER: usize = 3;
const CLOSED: u32 = 0;
/// What the memory may grow by with one who does not read, beyond what it grows by without, in MB.
const SPARE: f64 = 1.0;

/// What was seen while messages passed.
#[derive(Debug)]
struct Seen {
    /// By those who read, from sending to reading.
    readers: Quantiles,
    /// By somebody in another room, from sending to the answer.
    elsewhere: Quantiles,
    /// Of the server's memory, in MB.
    growth: f64,
}

/// The room, those who read in it, and who writes.
struct Room<'g> {
    server: Process,
    token: &'g str,
    elsewhere: &'g str,
    readers: Swarm,
    talker: Talker,
    sent: u64,
}

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let [token, elsewhere, ..] = &gateway.senders[..] else { bail!("no rooms were made") };
    let server = gateway.start()?;
    let readers = Swarm::open(server.address, token, READERS, 1, 1).await?;
    let connection = Connection::open(server.address).await?;
    let talker = Talker::open(&connection, token).await?;
    let mut room = Room { server, token, elsewhere, readers, talker, sent: 0 };
    room.pour(WARM_UP).await?;
    let mut before = room.pour(scale.messages()).await?;
    let tenth = room.stand_still().await?;
    let mut during = room.pour(scale.messages()).await?;
    let (gaps, took) = room.resume(tenth, scale.messages()).await?;
    room.server.stop()?;

    let row = |name: &str, before: f64, during: f64, floor: f64| {
        let name = format!("one of ten does not read: {name} (before)");
        Row::new(name, during).beside(before).at_most(floor, before)
    };
    let nine = (before.readers.at(0.99), during.readers.at(0.99));
    let others = (before.elsewhere.at(0.99), during.elsewhere.at(0.99));
    let count = scale.messages();
    Ok(vec![
        row("p99 of the nine, ms", nine.0, nine.1, 1.5 * nine.0),
        row("p99 of an answer in another room, ms", others.0, others.1, 1.5 * others.0),
        row("memory grows by, MB", before.growth, during.growth, before.growth + SPARE),
        Row::new(format!("the tenth resumes after {count}: gaps and repeats"), gaps).at_most(0.0, 0.0),
        Row::new("the tenth resumes: until it has all, ms", took),
    ])
}

impl Room<'_> {
    /// Has so many messages said, and returns when the nine have them all.
    async fn pour(&mut self, count: u64) -> Result<Seen> {
        let (address, elsewhere) = (self.server.address, self.elsewhere);
        let resident = self.server.resident()?;
        self.readers.take_latencies();
        let poured = Cell::new(false);
        let (said, elsewhere) = tokio::join!(
            async {
                let said = self.say(count).await;
                poured.set(true);
                said
            },
            victim::chat(address, elsewhere, |_| poured.get()),
        );
        said?;
        Ok(Seen {
            readers: self.readers.take_latencies(),
            elsewhere: elsewhere?,
            growth: (self.server.resident()? - resident) / 1024.0,
        })
    }

    async fn say(&mut self, count: u64) -> Result<()> {
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let end = self.sent + count;
        while self.sent < end {
            ticks.tick().await;
            self.talker.until_waiting(UNANSWERED / 2).await?;
            self.talker.send(TOGETHER)?;
            self.sent += TOGETHER as u64;
        }
        self.talker.until_waiting(0).await?;
        self.readers.beyond(self.sent - 1).await
    }

    /// Opens the tenth stream on a connection without a window, after the newest message.
    async fn stand_still(&mut self) -> Result<(Connection, Reader, ResumePoint)> {
        let connection = Connection::open(self.server.address).await?;
        let mut reader = Reader::open(&connection, self.token, None).await?;
        // What is said after its first event reaches it.
        reader.next().await?;
        self.say(TOGETHER as u64).await?;
        let mut point = ResumePoint::default();
        for _ in 0..TOGETHER {
            let message = reader.message().await?;
            point = ResumePoint { seq: message.seq, message_id: message.message_id };
        }
        let closed = Connection::open_with_window(self.server.address, CLOSED).await?;
        let still = Reader::open(&closed, self.token, Some(point.clone())).await?;
        Ok((closed, still, point))
    }

    /// Lets the tenth come back as a client does, and returns how often it was told another message than the next,
    /// and the milliseconds until it had all.
    async fn resume(&self, tenth: (Connection, Reader, ResumePoint), count: u64) -> Result<(f64, f64)> {
        let (closed, still, point) = tenth;
        drop((still, closed));
        let began = Instant::now();
        let connection = Connection::open(self.server.address).await?;
        let mut seq = point.seq;
        let mut reader = Reader::open(&connection, self.token, Some(point)).await?;
        let mut wrong = 0;
        for _ in 0..count {
            let told = reader.message().await?.seq;
            wrong += u32::from(told != seq + 1);
            seq = told;
        }
        Ok((f64::from(wrong), began.elapsed().as_secs_f64() * 1e3))
    }
}

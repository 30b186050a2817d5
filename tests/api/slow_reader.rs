//! A slow reader delays nobody else and loses no message: a stream whose reader opens no window is parked, and resumes where it was.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use grpcchatter_proto::v1::{Message, ResumePoint, subscribe_request::Start, subscribe_response::Event};
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{
    Bystander, Database, Latencies, Member, Refused as _, Subscription, TestApp, User, on_each_database,
    report,
};

on_each_database! {
    a_stream_without_a_window_resumes_without_a_gap,
}

/// How many messages are sent beside the slow reader, and how many before that for the baseline.
const MESSAGES: i64 = 50_000;
const BASELINE_MESSAGES: i64 = 5_000;

/// How many authors there are, and how many messages of each may be unanswered.
const AUTHORS: i64 = 10;
const UNANSWERED: i64 = 60;

const READERS: usize = 9;

/// How long after the others' first message the slow reader starts to read. A stream is parked after 30 s without a read, which is
/// checked once a second. Its connection would be closed another 30 s later.
const READ_AFTER: Duration = Duration::from_secs(40);

/// The latency that is always accepted: with 600 messages in flight it is a second in an unoptimised build beside other tests, and
/// several seconds if other programs take every core. A reader that waited for the slow one would wait until that one reads.
const ALWAYS_ACCEPTED: Duration = Duration::from_secs(10);

/// A room in which `messages` are sent.
#[derive(Clone)]
struct Conversation {
    member: Member,
    messages: i64,
    started: Instant,
    /// When the first reader got the first message.
    first: Arc<OnceLock<Instant>>,
}

impl Conversation {
    async fn begin(user: &User, messages: i64) -> Self {
        let member = user.join(&user.create_room().await).await;
        Self { member, messages, started: Instant::now(), first: Arc::default() }
    }

    /// Sends an author's part of the messages. Each contains the time when it was sent.
    async fn send(self, author: i64) {
        let mut chat = self.member.on_new_connection().chat().await.unwrap();
        let (mut sent, mut answered) = (0, 0);
        while answered < self.messages / AUTHORS {
            while sent < self.messages / AUTHORS && sent - answered < UNANSWERED {
                let micros = self.started.elapsed().as_micros();
                let body = format!("{micros} cAnary, a message of some length, as people write them");
                chat.say_as(&format!("{author}-{sent}"), &body).await;
                sent += 1;
            }
            let response = chat.next().await;
            assert!(response.rejected.is_none(), "{response:?}");
            answered += i64::from(response.client_message_id.starts_with(&format!("{author}-")));
        }
    }

    /// Returns how long ago a message was sent.
    fn age(&self, message: &Message) -> Duration {
        let micros = message.body.split(' ').next().unwrap().parse().unwrap();
        self.started.elapsed().saturating_sub(Duration::from_micros(micros))
    }

    /// Reads the messages after `last`, without a gap, up to the last of all or the stream's end. Returns the last message, and the
    /// age of each.
    async fn read(&self, mut stream: Subscription, mut last: ResumePoint) -> (ResumePoint, Latencies) {
        let mut ages = Latencies::default();
        while last.seq < self.messages {
            match stream.event().await {
                Ok(Some(Event::Message(message))) => {
                    assert_eq!(message.seq, last.seq + 1, "a gap or a repeat");
                    ages.add(self.age(&message));
                    self.first.get_or_init(Instant::now);
                    last = ResumePoint { seq: message.seq, message_id: message.message_id };
                }
                Ok(Some(Event::Subscribed(subscribed))) => assert!(!subscribed.reset),
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended with OK after {}", last.seq),
                Err(status) => {
                    // On a slow machine the connection may have been closed, which leaves no details.
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                    if !status.details().is_empty() {
                        status.refused(Code::Unavailable, "STREAM_BEHIND");
                    }
                    break;
                }
            }
        }
        (last, ages)
    }

    /// Sends all messages, and returns their ages at the readers.
    async fn run(&self) -> Latencies {
        let mut reading = JoinSet::new();
        for _ in 0..READERS {
            let stream = self.member.on_new_connection().subscribe(from_the_start()).await.unwrap();
            let conversation = self.clone();
            reading.spawn(async move { conversation.read(stream, ResumePoint::default()).await });
        }
        let mut sending = JoinSet::new();
        for author in 0..AUTHORS {
            sending.spawn(self.clone().send(author));
        }
        sending.join_all().await;
        let mut all = Latencies::default();
        for (last, ages) in reading.join_all().await {
            assert_eq!(last.seq, self.messages, "a reader got all messages");
            all.extend(ages);
        }
        all
    }
}

fn from_the_start() -> Option<Start> {
    Some(Start::After(ResumePoint::default()))
}

async fn a_stream_without_a_window_resumes_without_a_gap(database: Database) {
    let app = TestApp::with(&database, &[("STREAMS_PER_USER", "0")]).await;
    let user = app.user().await;
    let mut elsewhere = Bystander::of(&app).await;
    // The baseline: the same load without a slow reader.
    let before = Conversation::begin(&user, BASELINE_MESSAGES).await.run().await;
    elsewhere.reset_baseline();

    let conversation = Conversation::begin(&user, MESSAGES).await;
    let slow = Subscription::narrow(&conversation.member, from_the_start()).await.unwrap();
    let reading_late = async {
        while conversation.first.get().is_none_or(|first| first.elapsed() < READ_AFTER) {
            elsewhere.more_round_trips().await;
        }
        conversation.read(slow, ResumePoint::default()).await.0
    };
    let (mut last, during) = tokio::join!(reading_late, conversation.run());
    let behind = last.seq;
    assert!(behind < MESSAGES, "the stream was parked");
    // It resumes after its last message.
    while last.seq < MESSAGES {
        let stream = conversation.member.subscribe(Some(Start::After(last.clone()))).await.unwrap();
        last = conversation.read(stream, last).await.0;
    }
    let figures = format!(
        "{behind} of {MESSAGES} messages before it was left behind, all in the end; the nine others: {before} before, \
         {during} beside it"
    );
    report("slow reader", &figures);
    let most = ALWAYS_ACCEPTED.max(before.p99().mul_f64(1.5));
    assert!(during.p99() <= most, "the nine were slowed down: {figures}");
    elsewhere.was_not_slowed_down().await;
}

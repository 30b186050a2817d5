//! A slow reader harms nobody else, and loses nothing: a stream whose reader opens no window is left behind, and
//! goes on from where it was.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use grpcchatter_proto::v1::{Message, ResumePoint, subscribe_request::Start, subscribe_response::Event};
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{
    Database, Latencies, Member, Refused as _, Subscription, TestApp, User, Victim, on_each_database, report,
};

on_each_database! {
    a_stream_that_opens_no_window_resumes_without_a_gap,
}

/// How many messages are said, and how many before that tell what is usual.
const MESSAGES: i64 = 50_000;
const BEFORE: i64 = 5_000;

/// How many say them, and how many of each one's may be unanswered.
const AUTHORS: i64 = 10;
const UNANSWERED: i64 = 60;

const READERS: usize = 9;

/// So long after others have heard something the slow one begins to read: a stream that was not read for thirty seconds is
/// left behind, which is found out once a second. After as many again its connection would be closed.
const LATE: Duration = Duration::from_secs(40);

/// Below this nobody is blamed: six hundred messages under way at once take a second in an unoptimised build beside other
/// tests, and several where other programs take every core. Whoever waited for the slow one would wait until it reads.
const FLOOR: Duration = Duration::from_secs(10);

/// A room in which so many messages are said.
#[derive(Clone)]
struct Talk {
    member: Member,
    messages: i64,
    begun: Instant,
    /// When the first message was heard by anybody.
    first: Arc<OnceLock<Instant>>,
}

impl Talk {
    async fn begin(user: &User, messages: i64) -> Self {
        let member = user.join(&user.create_room().await).await;
        Self { member, messages, begun: Instant::now(), first: Arc::default() }
    }

    /// Says an author's part of the messages. Each tells when it was said.
    async fn speak(self, author: i64) {
        let mut chat = self.member.elsewhere().chat().await.unwrap();
        let (mut said, mut answered) = (0, 0);
        while answered < self.messages / AUTHORS {
            while said < self.messages / AUTHORS && said - answered < UNANSWERED {
                let micros = self.begun.elapsed().as_micros();
                let body = format!("{micros} cAnary, a message of some length, as people write them");
                chat.say_as(&format!("{author}-{said}"), &body).await;
                said += 1;
            }
            let response = chat.next().await;
            assert!(response.rejected.is_none(), "{response:?}");
            answered += i64::from(response.client_message_id.starts_with(&format!("{author}-")));
        }
    }

    /// Returns how long ago a message was said.
    fn age(&self, message: &Message) -> Duration {
        let micros = message.body.split(' ').next().unwrap().parse().unwrap();
        self.begun.elapsed().saturating_sub(Duration::from_micros(micros))
    }

    /// Hears messages from the one after `last` on, each at its place, up to the last of all or the stream's end.
    /// Returns the last that was heard, and how old each was.
    async fn hear(&self, mut stream: Subscription, mut last: ResumePoint) -> (ResumePoint, Latencies) {
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
                Ok(None) => panic!("the stream ended well after {}", last.seq),
                Err(status) => {
                    // On a slow machine its connection was closed meanwhile, and says nothing more than that.
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

    /// Says all messages, and returns how old they were where they were heard.
    async fn go_on(&self) -> Latencies {
        let mut hearing = JoinSet::new();
        for _ in 0..READERS {
            let stream = self.member.elsewhere().subscribe(from_the_start()).await.unwrap();
            let talk = self.clone();
            hearing.spawn(async move { talk.hear(stream, ResumePoint::default()).await });
        }
        let mut speaking = JoinSet::new();
        for author in 0..AUTHORS {
            speaking.spawn(self.clone().speak(author));
        }
        speaking.join_all().await;
        let mut all = Latencies::default();
        for (last, ages) in hearing.join_all().await {
            assert_eq!(last.seq, self.messages, "whoever reads hears everything");
            all.extend(ages);
        }
        all
    }
}

fn from_the_start() -> Option<Start> {
    Some(Start::After(ResumePoint::default()))
}

async fn a_stream_that_opens_no_window_resumes_without_a_gap(database: Database) {
    let app = TestApp::with(&database, &[("STREAMS_PER_USER", "0")]).await;
    let user = app.user().await;
    let mut elsewhere = Victim::of(&app).await;
    // The same load without a slow reader tells what it costs by itself.
    let before = Talk::begin(&user, BEFORE).await.go_on().await;
    elsewhere.is_used_to_it();

    let talk = Talk::begin(&user, MESSAGES).await;
    let slow = Subscription::narrow(&talk.member, from_the_start()).await.unwrap();
    let reading_late = async {
        while talk.first.get().is_none_or(|first| first.elapsed() < LATE) {
            elsewhere.goes_on().await;
        }
        talk.hear(slow, ResumePoint::default()).await.0
    };
    let (mut last, during) = tokio::join!(reading_late, talk.go_on());
    let behind = last.seq;
    assert!(behind < MESSAGES, "it was left behind");
    // It resumes where it was told to.
    while last.seq < MESSAGES {
        let stream = talk.member.subscribe(Some(Start::After(last.clone()))).await.unwrap();
        last = talk.hear(stream, last).await.0;
    }
    let figures = format!(
        "{behind} of {MESSAGES} messages before it was left behind, all in the end; the nine others: {before} before, \
         {during} beside it"
    );
    report("slow reader", &figures);
    let most = FLOOR.max(before.p99().mul_f64(1.5));
    assert!(during.p99() <= most, "the nine were slowed down: {figures}");
    elsewhere.noticed_nothing().await;
}

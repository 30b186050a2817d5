//! Chat streams, over a temporary database.

mod poll;

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{BufMut as _, Bytes};
use tokio::runtime::Handle;

use super::*;
use crate::{
    clock::Clock,
    domain::{Log, Publisher, RateLimitConfig, RateLimits, Tasks},
    hub::{Event, Framing, Hub, HubConfig},
    model::{ChatIdentity, Error, Result},
    store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
};

on_each_database! {
    a_client_that_reads_no_rejections_is_disconnected,
    no_more_of_an_id_is_echoed_than_a_valid_id_has,
    the_streams_of_a_session_end_with_it_at_once_and_no_others,
    a_session_that_ended_elsewhere_ends_its_streams,
}

/// Messages are written as their seq, a rejection as what was rejected.
const FRAMING: Framing = Framing {
    message: |_, message, bytes| bytes.put_i64(message.seq.0),
    event: |event, bytes| {
        if let Event::Rejected { client_message_id, .. } = event {
            bytes.put_slice(client_message_id.as_bytes());
        }
    },
};

pub(in crate::domain::chat) struct Fixture {
    pub(in crate::domain::chat) store: TemporaryStore,
    pub(in crate::domain::chat) hub: Hub,
    pub(in crate::domain::chat) publisher: Publisher,
    pub(in crate::domain::chat) chat: Chat,
    pub(in crate::domain::chat) member: Arc<ChatIdentity>,
}

impl Fixture {
    pub(in crate::domain::chat) async fn open(database: TemporaryDatabase) -> Self {
        let clock = Clock::system();
        let store = TemporaryStore::open(database, clock.clone()).await;
        let room = store.room("aaaaaa").await;
        let member = store.member("walker1", &room).await;
        let config = HubConfig { shards: 1, queue: 255, memory: usize::MAX, streams_per_user: 0 };
        let hub = Hub::new(config, FRAMING, clock.clone());
        let publisher = Publisher::new(Tasks::new(Handle::current()), store.clone(), hub.clone());
        let log = Log::start(&Handle::current(), store.lanes().await, &publisher).unwrap();
        let limits =
            RateLimitConfig { registrations_per_hour: 0, guesses_per_hour: 0, messages_per_second: 0 };
        let rate_limits = RateLimits::new(limits, clock);
        let chat = Chat::new(store.clone(), hub.clone(), log, publisher.clone(), rate_limits, 100);
        Self { store, hub, publisher, chat, member }
    }

    pub(in crate::domain::chat) async fn chat(&self) -> (Subscription, ChatSender) {
        self.chat_of(&self.member).await
    }

    pub(in crate::domain::chat) async fn chat_of(
        &self,
        member: &Arc<ChatIdentity>,
    ) -> (Subscription, ChatSender) {
        let origin = StreamOrigin { shard: 0, connection: Arc::default(), address: [127, 0, 0, 1].into() };
        let options = ChatOptions::default();
        let (subscription, sender, _) = self.chat.chat(Arc::clone(member), options, origin).await.unwrap();
        (subscription, sender)
    }
}

pub(in crate::domain::chat) fn frames(subscription: &mut Subscription) -> Poll<Option<Result<Bytes>>> {
    subscription.poll_frames(&mut Context::from_waker(Waker::noop()))
}

async fn a_client_that_reads_no_rejections_is_disconnected(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let (mut subscription, sender) = fixture.chat().await;
    let id = "x".repeat(50_000);
    let mut sent = (0..100_000).map(|_| sender.send("hello".into(), &id));
    let (count, ended) = sent.by_ref().enumerate().find(|(_, sent)| sent.is_err()).unwrap();
    assert!((64..1_000).contains(&count), "after {count}");
    assert!(matches!(ended, Err(Error::StreamBehind)));
    assert!(matches!(frames(&mut subscription), Poll::Ready(Some(Err(Error::StreamBehind)))));
}

async fn no_more_of_an_id_is_echoed_than_a_valid_id_has(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let (mut subscription, sender) = fixture.chat().await;
    for (id, echoed) in [("x".repeat(65), 64), ("é".repeat(100), 64), (format!("x{}", "é".repeat(100)), 63)]
    {
        sender.send("hello".into(), &id).unwrap();
        let Poll::Ready(Some(Ok(frames))) = frames(&mut subscription) else { panic!("not rejected") };
        assert_eq!(&frames[5..], &id.as_bytes()[..echoed]);
    }
}

async fn the_streams_of_a_session_end_with_it_at_once_and_no_others(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let (user, session) = (fixture.member.user, fixture.member.session);
    let again = fixture.store.log_in_again(&fixture.member).await;
    let mut streams = [fixture.chat().await, fixture.chat().await, fixture.chat_of(&again).await];
    fixture.publisher.end_streams(user, &[session]);
    let [one, two, other] = streams.each_mut().map(|(subscription, _)| frames(subscription));
    for ended in [one, two] {
        assert!(matches!(ended, Poll::Ready(Some(Err(Error::TokenRevoked)))), "{ended:?}");
    }
    assert!(other.is_pending(), "{other:?}");
}

async fn a_session_that_ended_elsewhere_ends_its_streams(database: TemporaryDatabase) {
    let fixture = Fixture::open(database).await;
    let again = fixture.store.log_in_again(&fixture.member).await;
    let ((mut ended, _sender), (mut other, _other)) = (fixture.chat().await, fixture.chat_of(&again).await);
    let beside = fixture.store.open_beside().await;
    beside.end_session(fixture.member.session, fixture.member.user).await.unwrap();
    let end = std::future::poll_fn(|context| ended.poll_frames(context));
    let polled = async {
        tokio::select! {
            end = end => end,
            () = fixture.publisher.run_poll() => None,
        }
    };
    let end = tokio::time::timeout(Duration::from_secs(30), polled).await.expect("the poll ends it");
    assert!(matches!(end, Some(Err(Error::TokenRevoked))), "{end:?}");
    assert!(frames(&mut other).is_pending());
}

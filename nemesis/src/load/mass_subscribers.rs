//! Thousands of streams that disconnect and reconnect all at once. Each message is compared on arrival with what the other
//! streams received, and kept as a digest: a full history would cost more than the server under test.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use grpcchatter_nemesis::Entry;
use grpcchatter_proto::v1::{ResumePoint, subscribe_response::Event as StreamEvent};
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tonic::Status;

use super::{ClientMix, Dialect};
use crate::{
    client::{Member, Subscription, entry, grpc},
    record::{Reader, Record},
};

/// The range of pauses before a stream tries again, in milliseconds: thousands of retries at once would starve the other
/// clients.
const RETRY_PAUSE: std::ops::Range<u64> = 50..500;

/// The most violations that are kept.
const MAX_VIOLATIONS: usize = 20;

/// The streams. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct MassSubscribers {
    shared: Arc<Shared>,
    connected: watch::Sender<bool>,
    streams: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    record: Arc<Record>,
    /// The digest of the message at each seq of each room, as the first stream received it.
    received: Vec<Mutex<Vec<u64>>>,
    violations: Mutex<Vec<String>>,
}

impl MassSubscribers {
    /// Opens the streams in every room.
    ///
    /// # Errors
    /// If the address is not valid.
    pub(crate) fn start(
        address: SocketAddr,
        members: &[Member],
        mix: ClientMix,
        record: &Arc<Record>,
    ) -> Result<Self> {
        let received = members.iter().map(|_| Mutex::default()).collect();
        let shared = Shared { address, record: Arc::clone(record), received, violations: Mutex::default() };
        let shared = Arc::new(shared);
        let mut all = Self { shared, connected: watch::Sender::new(true), streams: JoinSet::new() };
        for member in members {
            for nth in 0..mix.mass_native + mix.mass_web {
                let dialect =
                    if nth < mix.mass_native { Dialect::Native(grpc(address)?) } else { Dialect::Web };
                let (shared, connected) = (Arc::clone(&all.shared), all.connected.subscribe());
                let reader = record.add_reader(member.room);
                all.streams.spawn(shared.follow(member.clone(), dialect, reader, connected));
            }
        }
        Ok(all)
    }

    /// Returns the number of streams.
    pub(crate) fn count(&self) -> usize {
        self.streams.len()
    }

    /// Closes all streams.
    pub(crate) fn disconnect(&self) {
        self.connected.send_replace(false);
    }

    /// Opens all streams again, each after the last message that it received.
    pub(crate) fn reconnect(&self) {
        self.connected.send_replace(true);
    }

    /// Returns the violations, including those that a comparison with the logs shows.
    pub(crate) fn violations(&self, logs: &[Vec<Entry>]) -> Vec<String> {
        for (room, received) in self.shared.received.iter().enumerate() {
            let received = received.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let log = logs.get(room).map_or(&[][..], Vec::as_slice);
            let same = log.iter().map(digest).zip(&received).all(|(stored, received)| stored == *received);
            if received.len() > log.len() || !same {
                self.shared
                    .violated(format!("I3: streams of room {room} received what its log does not hold"));
            }
        }
        self.shared.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    /// Reads a room from its first message on, while the streams are to be connected.
    async fn follow(
        self: Arc<Self>,
        member: Member,
        dialect: Dialect,
        reader: Reader,
        mut connected: watch::Receiver<bool>,
    ) {
        let mut last = ResumePoint::default();
        while connected.wait_for(|connected| *connected).await.is_ok() {
            let mut disconnected = connected.clone();
            tokio::select! {
                Err(status) = self.read(&member, &dialect, &reader, &mut last) => self.record.refused(&status),
                _ = disconnected.wait_for(|connected| !*connected) => continue,
            }
            sleep(Duration::from_millis(fastrand::u64(RETRY_PAUSE))).await;
        }
    }

    /// Reads one stream after `last` until it ends.
    async fn read(
        &self,
        member: &Member,
        dialect: &Dialect,
        reader: &Reader,
        last: &mut ResumePoint,
    ) -> Result<(), Status> {
        let number = reader.number;
        let mut stream =
            Subscription::open(self.address, dialect.grpc(), &member.token, last.clone()).await?;
        loop {
            match stream.next().await?.event {
                Some(StreamEvent::Subscribed(subscribed)) if subscribed.reset => {
                    self.violated(format!("I3: reader {number} was reset after {}", last.seq));
                }
                Some(StreamEvent::Message(message)) => {
                    let message = entry(message);
                    if message.seq != last.seq + 1 {
                        let (seq, last) = (message.seq, last.seq);
                        self.violated(format!("I3: reader {number} received {seq} after {last}"));
                    }
                    if !self.agrees(member.room, &message) {
                        self.violated(format!("I3: readers received different messages at {}", message.seq));
                    }
                    reader.advance_to(message.seq);
                    *last = ResumePoint { seq: message.seq, message_id: message.message_id };
                }
                _ => {}
            }
        }
    }

    /// Says whether all streams that received this seq before received the same message.
    fn agrees(&self, room: usize, message: &Entry) -> bool {
        let Some(index) = usize::try_from(message.seq - 1).ok() else { return false };
        let mut received = self.received[room].lock().unwrap_or_else(PoisonError::into_inner);
        match received.get(index) {
            Some(first) => *first == digest(message),
            None if index == received.len() => {
                received.push(digest(message));
                true
            }
            // A gap, which `read` has reported.
            None => true,
        }
    }

    fn violated(&self, what: String) {
        let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        if violations.len() < MAX_VIOLATIONS {
            violations.push(what);
        }
    }
}

fn digest(message: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&message.message_id, &message.id, &message.body).hash(&mut hasher);
    hasher.finish()
}

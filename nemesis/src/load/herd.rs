//! Thousands of streams that go away and come back together. What one hears is compared at once with what the others
//! heard, and noted as a number: a history with all of it would cost more than the server that it is about.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use grpcchatter_nemesis::Entry;
use grpcchatter_proto::v1::{ResumePoint, subscribe_response::Event as Told};
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tonic::Status;

use super::{Crowd, Dialect};
use crate::{
    client::{Seat, Subscription, entry, grpc},
    record::{Reader, Record},
};

/// How long one waits before it tries again, at least and at most: thousands at once would keep the server from the rest.
const PAUSE: std::ops::Range<u64> = 50..500;

/// So many of its complaints are kept.
const COMPLAINTS: usize = 20;

/// The streams. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Herd {
    shared: Arc<Shared>,
    here: watch::Sender<bool>,
    members: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    record: Arc<Record>,
    /// What stands at each place of each room, as who heard it first was told.
    heard: Vec<Mutex<Vec<u64>>>,
    complaints: Mutex<Vec<String>>,
}

impl Herd {
    /// Opens the streams, in every room.
    ///
    /// # Errors
    /// If the address is none.
    pub(crate) fn start(
        address: SocketAddr,
        seats: &[Seat],
        crowd: Crowd,
        record: &Arc<Record>,
    ) -> Result<Self> {
        let heard = seats.iter().map(|_| Mutex::default()).collect();
        let shared = Shared { address, record: Arc::clone(record), heard, complaints: Mutex::default() };
        let mut herd =
            Self { shared: Arc::new(shared), here: watch::Sender::new(true), members: JoinSet::new() };
        for seat in seats {
            for nth in 0..crowd.herd.0 + crowd.herd.1 {
                let dialect = if nth < crowd.herd.0 { Dialect::Native(grpc(address)?) } else { Dialect::Web };
                let (shared, here) = (Arc::clone(&herd.shared), herd.here.subscribe());
                let reader = record.enter(seat.room);
                herd.members.spawn(shared.follow(seat.clone(), dialect, reader, here));
            }
        }
        Ok(herd)
    }

    /// Returns how many there are.
    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    /// Has everybody go away, or come back.
    pub(crate) fn be_here(&self, here: bool) {
        self.here.send_replace(here);
    }

    /// Returns what was wrong with what they heard, also where it is not what the logs hold.
    pub(crate) fn complaints(&self, logs: &[Vec<Entry>]) -> Vec<String> {
        for (room, heard) in self.shared.heard.iter().enumerate() {
            let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let log = logs.get(room).map_or(&[][..], Vec::as_slice);
            let same = log.iter().map(digest).zip(&heard).all(|(stored, told)| stored == *told);
            if heard.len() > log.len() || !same {
                self.shared
                    .complain(format!("I3: streams of room {room} were told what its log does not hold"));
            }
        }
        self.shared.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    /// Reads a room from its first message on, as long as it is to be here.
    async fn follow(
        self: Arc<Self>,
        seat: Seat,
        dialect: Dialect,
        reader: Reader,
        mut here: watch::Receiver<bool>,
    ) {
        let mut last = ResumePoint::default();
        while here.wait_for(|here| *here).await.is_ok() {
            let mut away = here.clone();
            tokio::select! {
                Err(status) = self.hear(&seat, &dialect, &reader, &mut last) => self.record.refused(&status),
                _ = away.wait_for(|here| !*here) => continue,
            }
            sleep(Duration::from_millis(fastrand::u64(PAUSE))).await;
        }
    }

    async fn hear(
        &self,
        seat: &Seat,
        dialect: &Dialect,
        reader: &Reader,
        last: &mut ResumePoint,
    ) -> Result<(), Status> {
        let number = reader.number;
        let mut stream = Subscription::open(self.address, dialect.grpc(), &seat.token, last.clone()).await?;
        loop {
            match stream.next().await?.event {
                Some(Told::Subscribed(subscribed)) if subscribed.reset => {
                    self.complain(format!("I3: reader {number} was reset after {}", last.seq));
                }
                Some(Told::Message(message)) => {
                    let message = entry(message);
                    if message.seq != last.seq + 1 {
                        self.complain(format!(
                            "I3: reader {number} was told {} after {}",
                            message.seq, last.seq
                        ));
                    }
                    if !self.agrees(seat.room, &message) {
                        self.complain(format!("I3: readers were told different messages at {}", message.seq));
                    }
                    reader.has(message.seq);
                    *last = ResumePoint { seq: message.seq, message_id: message.message_id };
                }
                _ => {}
            }
        }
    }

    /// Says whether those who heard of this place before were told the same.
    fn agrees(&self, room: usize, message: &Entry) -> bool {
        let Some(place) = usize::try_from(message.seq - 1).ok() else { return false };
        let mut heard = self.heard[room].lock().unwrap_or_else(PoisonError::into_inner);
        match heard.get(place) {
            Some(told) => *told == digest(message),
            // Who is told a later place first was told that there is a gap.
            None if place == heard.len() => {
                heard.push(digest(message));
                true
            }
            None => true,
        }
    }

    fn complain(&self, what: String) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.len() < COMPLAINTS {
            complaints.push(what);
        }
    }
}

fn digest(message: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&message.message_id, &message.id, &message.body).hash(&mut hasher);
    hasher.finish()
}

//! What is committed is told to the streams: in order, each message once, gaps filled from the log.
//!
//! Once a second the heads of all rooms with streams are compared with the database, and the sessions of the streams are
//! looked up. That finds what this process did not commit itself, what was lost on the way, rights that ended elsewhere,
//! and a log that went back. What must be looked at more closely is, in tasks of which few run at once: a room in which
//! that fails, or takes long, keeps no other from being looked at.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Semaphore};

use super::{
    SessionsEnded,
    log::{DEADLINE, POLL_INTERVAL},
    seam,
};
use crate::{
    faults::{self, Fault},
    hub::{Fork, Gap, Hub, Room},
    model::{Error, ErrorKind, Passage, Result, RoomId, SessionId, UserId},
    store::{Head, Store},
};

/// A gap is read from the log in pieces of so many messages.
const PIECE: i64 = 1_000;

/// So many gaps are read at once, and so many rooms are looked at more closely.
const AT_ONCE: usize = 4;

/// A handle to the publisher. Clones share it.
#[derive(Clone)]
pub struct Publisher {
    core: Handle,
    store: Store,
    hub: Hub,
    /// Who may read a gap.
    fills: Arc<Semaphore>,
    /// Who may look at a room, and at which rooms somebody looks.
    looks: Arc<Semaphore>,
    looked_at: Arc<Mutex<HashSet<RoomId>>>,
}

impl Publisher {
    /// Makes a publisher that fills gaps in tasks of the core runtime.
    pub fn new(core: Handle, store: Store, hub: Hub) -> Self {
        let [fills, looks] = [(); 2].map(|()| Arc::new(Semaphore::new(AT_ONCE)));
        Self { core, store, hub, fills, looks, looked_at: Arc::default() }
    }

    /// Tells a room's new messages to whoever listens.
    pub fn publish(&self, id: RoomId, passage: Passage) {
        if faults::is_nth(Fault::GapFillSkipped, 20)
            || (faults::is(Fault::TailForgotten) && !faults::is_nth(Fault::TailForgotten, 5))
        {
            return;
        }
        let Some(room) = self.hub.get(id) else { return };
        match room.publish(passage) {
            Ok(Some(gap)) => self.fill(room, gap),
            Ok(None) => {}
            Err(Fork) => self.reset(&room),
        }
    }

    /// Keeps the hub within its memory.
    pub fn reclaim(&self) {
        self.hub.reclaim();
    }

    /// Forgets a room whose log is not what was told: its streams end, and resume where their last message is still there.
    pub fn reset(&self, room: &Arc<Room>) {
        tracing::warn!(
            room = room.id().0,
            "the log has not what was told: its streams are ended and will resume"
        );
        self.hub.close(room, &Error::LogReset);
    }

    fn fill(&self, room: Arc<Room>, gap: Gap) {
        let publisher = self.clone();
        self.core.spawn(async move {
            let mut next = Some(gap);
            while let Some(gap) = next {
                // It is never closed.
                let _one_of_few = publisher.fills.acquire().await;
                next = publisher.fill_some(&room, gap).await;
            }
        });
    }

    /// Reads some of a gap, tells it, and returns what is still missing.
    async fn fill_some(&self, room: &Arc<Room>, gap: Gap) -> Option<Gap> {
        let last = gap.last.min(gap.first + PIECE - 1);
        // What stands before the gap shows whether this is the log that was told.
        let read = self.store.messages(room.id(), gap.first - 1, last).await;
        let read = match read {
            Ok(messages) => self.store.settled().await.map(|()| messages),
            Err(error) => Err(error),
        };
        let messages = read.unwrap_or_default();
        let begins = messages.iter().any(|message| message.seq == gap.first);
        match room.fill(Passage { before: None, messages }) {
            Ok(next) if begins => next.or_else(|| room.observe(gap.last)),
            // The reader was behind the writer, or the database is away: the poll comes back to it.
            Ok(_) => {
                room.give_up_filling();
                None
            }
            Err(Fork) => {
                self.reset(room);
                None
            }
        }
    }

    /// Compares what is open with the database once a second, until it is dropped. Runs once, on the core runtime.
    pub async fn run_poll(&self) {
        let mut seconds = tokio::time::interval(POLL_INTERVAL);
        seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            self.poll().await;
        }
    }

    async fn poll(&self) {
        let rooms: Vec<_> = self.hub.rooms().into_iter().filter(|room| room.has_streams()).collect();
        if rooms.is_empty() {
            return;
        }
        // The one that fails keeps nobody from the other.
        for polled in [self.poll_sessions(&rooms).await, self.poll_heads(rooms).await] {
            if let Err(error) = polled {
                tracing::debug!(%error, "what is open could not be polled");
            }
        }
    }

    /// Ends the streams whose sessions have ended: elsewhere, by themselves, or while a stream was being opened.
    async fn poll_sessions(&self, rooms: &[Arc<Room>]) -> Result<()> {
        let mut streams: HashMap<SessionId, Vec<_>> = HashMap::new();
        for room in rooms {
            for (place, identity) in room.streams() {
                streams.entry(identity.session).or_default().push((room, place));
            }
        }
        for ended in self.store.ended_sessions(streams.keys().copied().collect()).await? {
            for (room, place) in streams.remove(&ended).unwrap_or_default() {
                room.end(place, Error::TokenRevoked);
            }
        }
        Ok(())
    }

    async fn poll_heads(&self, rooms: Vec<Arc<Room>>) -> Result<()> {
        // What is told from here on, the heads may not have yet.
        let told: Vec<_> = rooms.iter().map(|room| room.head()).collect();
        let heads = self.store.heads(rooms.iter().map(|room| room.id()).collect()).await?;
        let server = self.store.server();
        let heads: HashMap<RoomId, Head> = heads.into_iter().map(|head| (head.room, head)).collect();
        for (room, told) in rooms.into_iter().zip(told) {
            let Some(head) = heads.get(&room.id()) else {
                self.look_at(room);
                continue;
            };
            if went_back(told, head) || is_passed_over(room.head(), head) {
                self.reset(&room);
                continue;
            }
            if let Some(gap) = room.observe(head.last_seq) {
                self.fill(Arc::clone(&room), gap);
            }
            // After a failover that has lost something, epochs may have gone back, and risen again to where they were.
            if room.server() != server || !room.to_be_checked(head.epochs).is_empty() {
                self.look_at(room);
            }
        }
        Ok(())
    }

    /// Looks at a room in a task of its own, unless one does.
    fn look_at(&self, room: Arc<Room>) {
        if !self.looked_at.lock().insert(room.id()) {
            return;
        }
        let looking = Looking { at: Arc::clone(&self.looked_at), room: room.id() };
        let publisher = self.clone();
        self.core.spawn(async move {
            let _looking = looking;
            let _one_of_few = publisher.looks.acquire().await;
            if let Err(error) = publisher.look(&room).await {
                tracing::debug!(%error, room = room.id().0, "a room could not be looked at");
            }
        });
    }

    /// Checks the streams of a room, and where the database may be another one than before, what they were told.
    async fn look(&self, room: &Arc<Room>) -> Result<()> {
        let server = self.store.server();
        if !seam::holds(&self.store, room).await? {
            self.reset(room);
            return Ok(());
        }
        self.recheck(room.id()).await?;
        room.found_at(server);
        Ok(())
    }

    /// Does something once all that is being written now has been told.
    pub(super) fn once_told(&self, act: impl FnOnce() + Send + 'static) {
        self.core.spawn(async move {
            tokio::time::sleep(DEADLINE).await;
            act();
        });
    }

    /// Returns what ends the open streams of a user's sessions once these have ended. It asks nobody: a stream that is
    /// being opened at that moment is found by the poll.
    pub fn end_streams(&self) -> SessionsEnded {
        let hub = self.hub.clone();
        Arc::new(move |user: UserId, sessions: &[SessionId]| {
            for room in hub.permits().rooms(user).into_iter().filter_map(|room| hub.get(room)) {
                for (place, identity) in room.streams_of(user) {
                    if sessions.contains(&identity.session) {
                        room.end(place, Error::TokenRevoked);
                    }
                }
            }
        })
    }

    /// Holds the chat tokens of a room's open streams against the database again, and ends those that no longer
    /// stand.
    ///
    /// # Errors
    /// Where the database fails; the poll comes back to it.
    pub async fn recheck(&self, id: RoomId) -> Result<()> {
        let Some(room) = self.hub.get(id) else { return Ok(()) };
        let (places, identities): (Vec<_>, Vec<_>) = room.streams().into_iter().unzip();
        let (refused, epochs) = self.store.recheck(id, identities.clone()).await?;
        if let Some(epochs) = epochs {
            room.checked(&places, epochs);
        }
        for (at, error) in refused {
            // Whoever only logged out on one device may be here on another.
            if error.kind() == ErrorKind::PermissionDenied {
                self.hub.leave(id, identities[at].user);
            }
            room.end(places[at], error);
        }
        Ok(())
    }
}

/// Somebody looks at a room until it is dropped, by a panic too: else nobody would look at it again.
struct Looking {
    at: Arc<Mutex<HashSet<RoomId>>>,
    room: RoomId,
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.at.lock().remove(&self.room);
    }
}

/// Says whether the database has less than was told, or another message at the same place.
fn went_back(told: Option<(i64, Option<uuid::Uuid>)>, head: &Head) -> bool {
    told.is_some_and(|(seq, id)| head.last_seq < seq || (head.last_seq == seq && head.last_message_id != id))
}

/// Says whether the database no longer has what is to be told next: RETENTION was quicker than a gap was filled.
fn is_passed_over(told: Option<(i64, Option<uuid::Uuid>)>, head: &Head) -> bool {
    told.is_some_and(|(seq, _)| head.last_seq > seq && head.first_seq > seq + 1)
}

//! Publishes committed messages to the streams: in order, each message once, gaps filled from the log.
//!
//! Once a second the poll compares the heads of all rooms with the database and looks up the sessions of all streams. It
//! finds messages that this process did not commit itself, messages that were lost on the way, rights that ended
//! elsewhere, and a log that went back. A room that needs a closer check gets one in a task of its own. Few of these
//! run at once, and one that fails or takes long delays no other room.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{log_continuity, tasks::Tasks};
use crate::{
    faults::{self, Fault},
    hub::{Fork, Gap, Hub, Room},
    model::{Error, ErrorKind, LogSlice, Result, RoomId, Seq, SessionId, UserId},
    store::{Head, Store},
};

/// How many messages of a gap are read from the log at once.
const GAP_PAGE: usize = 1_000;

/// How many gaps are read at once, and how many rooms are checked at once.
const CONCURRENCY: usize = 4;

/// How often the database is polled.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A handle to the publisher. Clones share it.
#[derive(Clone)]
pub struct Publisher {
    tasks: Tasks,
    store: Store,
    hub: Hub,
    /// Permits to read a gap.
    fills: Arc<Semaphore>,
    /// Permits to check a room.
    checks: Arc<Semaphore>,
    /// The rooms that are being checked or wait for a permit.
    in_check: Arc<Mutex<HashSet<RoomId>>>,
}

impl Publisher {
    /// Creates a publisher that fills gaps and checks rooms in `tasks`.
    pub fn new(tasks: Tasks, store: Store, hub: Hub) -> Self {
        let [fills, checks] = [(); 2].map(|()| Arc::new(Semaphore::new(CONCURRENCY)));
        Self { tasks, store, hub, fills, checks, in_check: Arc::default() }
    }

    /// Publishes a room's new messages to its streams.
    pub fn publish(&self, id: RoomId, slice: LogSlice) {
        if faults::is_nth(Fault::GapFillSkipped, 20)
            || (faults::is(Fault::TailForgotten) && !faults::is_nth(Fault::TailForgotten, 5))
        {
            return;
        }
        let Some(room) = self.hub.get(id) else { return };
        match room.publish(slice) {
            Ok(Some(gap)) => self.fill(room, gap),
            Ok(None) => {}
            Err(Fork) => self.reset(&room),
        }
    }

    /// Returns the background tasks.
    pub(super) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Keeps the hub within its memory limit.
    pub fn reclaim(&self) {
        self.hub.reclaim();
    }

    /// Closes a room whose log is not the one that its clients have. Its streams end, and resume where their last message is
    /// still in the log.
    pub fn reset(&self, room: &Arc<Room>) {
        tracing::warn!(
            room = room.id().0,
            "the log differs from what clients have: the room's streams end and will resume"
        );
        self.hub.close(room, &Error::LogReset);
    }

    fn fill(&self, room: Arc<Room>, gap: Gap) {
        let publisher = self.clone();
        self.tasks.spawn(async move {
            let mut next = Some(gap);
            while let Some(gap) = next {
                // The semaphore is never closed.
                let _permit = publisher.fills.acquire().await;
                next = publisher.fill_page(&room, gap).await;
            }
        });
    }

    /// Reads and publishes the first page of a gap. Returns what is still missing.
    async fn fill_page(&self, room: &Arc<Room>, gap: Gap) -> Option<Gap> {
        let last = gap.last.min(gap.first.skip(GAP_PAGE - 1));
        // The message before the gap is read too: it shows whether this is the log that was published.
        let read = self.store.messages(room.id(), gap.first.previous(), last).await;
        let read = match read {
            Ok(messages) => self.store.wait_for_standby().await.map(|()| messages),
            Err(error) => Err(error),
        };
        let messages = read.unwrap_or_default();
        let begins = messages.iter().any(|message| message.seq == gap.first);
        match room.fill(LogSlice { before: None, messages }) {
            Ok(next) if begins => next.or_else(|| room.observe(gap.last)),
            // The reader is behind the writer, or the database is away: the poll tries again.
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

    /// Polls the database once a second, until it is dropped. Runs once, on the core runtime.
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
        // If one fails, the other runs all the same.
        for polled in [self.poll_sessions(&rooms).await, self.poll_heads(rooms).await] {
            if let Err(error) = polled {
                tracing::debug!(%error, "the open streams could not be polled");
            }
        }
    }

    /// Ends the streams whose session has ended: on another server, by expiry, or while the stream was being opened.
    async fn poll_sessions(&self, rooms: &[Arc<Room>]) -> Result<()> {
        let mut streams: HashMap<SessionId, Vec<_>> = HashMap::new();
        for room in rooms {
            for (slot, identity) in room.streams() {
                streams.entry(identity.session).or_default().push((room, slot));
            }
        }
        for ended in self.store.ended_sessions(streams.keys().copied().collect()).await? {
            for (room, slot) in streams.remove(&ended).unwrap_or_default() {
                room.end(slot, Error::TokenRevoked);
            }
        }
        Ok(())
    }

    async fn poll_heads(&self, rooms: Vec<Arc<Room>>) -> Result<()> {
        // Read before the query: messages published meanwhile are newer than these heads.
        let known: Vec<_> = rooms.iter().map(|room| room.newest_known()).collect();
        let heads = self.store.heads(rooms.iter().map(|room| room.id()).collect()).await?;
        let server = self.store.server_number();
        let heads: HashMap<RoomId, Head> = heads.into_iter().map(|head| (head.room, head)).collect();
        for (room, known) in rooms.into_iter().zip(known) {
            let Some(head) = heads.get(&room.id()) else {
                self.spawn_check(room);
                continue;
            };
            if went_back(known, head) || is_passed_over(room.head(), head) {
                self.reset(&room);
                continue;
            }
            if let Some(gap) = room.observe(head.last_seq) {
                self.fill(Arc::clone(&room), gap);
            }
            // After a failover that lost something, epochs may have gone back and risen again to the same values.
            if room.verified_server() != server || !room.unchecked_streams(head.epochs).is_empty() {
                self.spawn_check(room);
            }
        }
        Ok(())
    }

    /// Checks a room in a task of its own, unless one does already.
    fn spawn_check(&self, room: Arc<Room>) {
        if !self.in_check.lock().insert(room.id()) {
            return;
        }
        let check = RoomCheck { in_check: Arc::clone(&self.in_check), room: room.id() };
        let publisher = self.clone();
        self.tasks.spawn(async move {
            let _check = check;
            let _permit = publisher.checks.acquire().await;
            if let Err(error) = publisher.check(&room).await {
                tracing::debug!(%error, room = room.id().0, "a room could not be checked");
            }
        });
    }

    /// Checks the streams of a room and, where the database server may have changed, what its clients may have.
    async fn check(&self, room: &Arc<Room>) -> Result<()> {
        let server = self.store.server_number();
        if !log_continuity::holds(&self.store, room).await? {
            self.reset(room);
            return Ok(());
        }
        self.recheck(room.id()).await?;
        room.set_verified_server(server);
        Ok(())
    }

    /// Ends the open streams of a user's ended sessions. The poll finds a stream that is being opened at that moment.
    pub fn end_streams(&self, user: UserId, sessions: &[SessionId]) {
        let rooms = self.hub.permits().rooms(user);
        for room in rooms.into_iter().filter_map(|room| self.hub.get(room)) {
            for (slot, identity) in room.streams_of(user) {
                if sessions.contains(&identity.session) {
                    room.end(slot, Error::TokenRevoked);
                }
            }
        }
    }

    /// Checks the chat tokens of a room's open streams against the database again, and ends the streams whose token is no
    /// longer valid.
    ///
    /// # Errors
    /// Where the database fails; the poll tries again.
    pub async fn recheck(&self, id: RoomId) -> Result<()> {
        let Some(room) = self.hub.get(id) else { return Ok(()) };
        let (slots, identities): (Vec<_>, Vec<_>) = room.streams().into_iter().unzip();
        let (refused, epochs) = self.store.recheck_access(id, identities.clone()).await?;
        if let Some(epochs) = epochs {
            room.set_checked(&slots, epochs);
        }
        for (at, error) in refused {
            // A user who only logged out on one device may be present on another.
            if error.kind() == ErrorKind::PermissionDenied {
                self.hub.leave(id, identities[at].user);
            }
            room.end(slots[at], error);
        }
        Ok(())
    }
}

/// Marks a room as being checked until it is dropped. A panic drops it too, so that the room can be checked again.
struct RoomCheck {
    in_check: Arc<Mutex<HashSet<RoomId>>>,
    room: RoomId,
}

impl Drop for RoomCheck {
    fn drop(&mut self) {
        self.in_check.lock().remove(&self.room);
    }
}

/// Returns whether the log has fewer messages than clients may have, or another message at the same seq.
fn went_back(known: Option<(Seq, Option<uuid::Uuid>)>, head: &Head) -> bool {
    known.is_some_and(|(seq, id)| head.last_seq < seq || (head.last_seq == seq && head.last_message_id != id))
}

/// Returns whether the log no longer holds the message to publish next: RETENTION removed it before the gap was filled.
fn is_passed_over(published: Option<(Seq, Option<uuid::Uuid>)>, head: &Head) -> bool {
    published.is_some_and(|(seq, _)| head.last_seq > seq && head.first_seq > seq.next())
}

//! What is committed is told to the streams: in order, each message once, gaps filled from the log.
//!
//! Once a second the heads of all rooms with streams are compared with the database, and the sessions of the streams are
//! looked up. That finds what this process did not commit itself, what was lost on the way, rights that ended elsewhere,
//! and a log that went back.

use std::{collections::HashMap, sync::Arc};

use tokio::runtime::Handle;

use super::{
    SessionsEnded,
    log::{DEADLINE, POLL_INTERVAL},
};
use crate::{
    faults::{self, Fault},
    hub::{Gap, Hub, Room},
    model::{Error, ErrorKind, Line, Result, RoomId, SessionId, UserId},
    store::{Head, Store},
};

/// A gap is read from the log in pieces of so many messages.
const PIECE: i64 = 1_000;

/// A handle to the publisher. Clones share it.
#[derive(Clone)]
pub struct Publisher {
    core: Handle,
    store: Store,
    hub: Hub,
}

impl Publisher {
    /// Makes a publisher that fills gaps in tasks of the core runtime.
    pub fn new(core: Handle, store: Store, hub: Hub) -> Self {
        Self { core, store, hub }
    }

    /// Tells a room's new lines to whoever listens.
    pub fn publish(&self, id: RoomId, lines: Vec<Line>) {
        if faults::is_nth(Fault::GapFillSkipped, 20)
            || (faults::is(Fault::TailForgotten) && !faults::is_nth(Fault::TailForgotten, 5))
        {
            return;
        }
        if let Some(room) = self.hub.get(id)
            && let Some(gap) = room.publish(lines)
        {
            self.fill(room, gap);
        }
    }

    /// Keeps the hub within its memory.
    pub fn reclaim(&self) {
        self.hub.reclaim();
    }

    fn fill(&self, room: Arc<Room>, gap: Gap) {
        let store = self.store.clone();
        self.core.spawn(async move {
            let mut next = Some(gap);
            while let Some(gap) = next {
                let last = gap.last.min(gap.first + PIECE - 1);
                next = match store.messages(room.id(), gap.first, last).await {
                    Ok(messages) if messages.first().is_some_and(|message| message.seq == gap.first) => {
                        let lines = messages.into_iter().map(|message| Line { message }).collect();
                        room.fill(lines).or_else(|| room.observe(gap.last))
                    }
                    // The reader was behind the writer, or the database is away: the poll comes back to it.
                    Ok(_) | Err(_) => {
                        room.give_up_filling();
                        None
                    }
                };
            }
        });
    }

    /// Compares what is open with the database once a second, until it is dropped. Runs once, on the core runtime.
    pub async fn run_poll(&self) {
        let mut seconds = tokio::time::interval(POLL_INTERVAL);
        seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            if let Err(error) = self.poll().await {
                tracing::debug!(%error, "what is open could not be polled");
            }
        }
    }

    async fn poll(&self) -> Result<()> {
        let rooms: Vec<_> = self.hub.rooms().into_iter().filter(|room| room.has_streams()).collect();
        if rooms.is_empty() {
            return Ok(());
        }
        self.poll_sessions(&rooms).await?;
        self.poll_heads(rooms).await
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
        let heads: HashMap<RoomId, Head> = heads.into_iter().map(|head| (head.room, head)).collect();
        for (room, told) in rooms.into_iter().zip(told) {
            let Some(head) = heads.get(&room.id()) else {
                self.recheck(room.id()).await?;
                continue;
            };
            if went_back(told, head) || is_passed_over(room.head(), head) {
                tracing::warn!(
                    room = room.id().0,
                    "the log has not what was told: its streams are ended and will resume"
                );
                self.hub.forget(room.id());
                room.end_all(&Error::LogReset);
                continue;
            }
            if let Some(gap) = room.observe(head.last_seq) {
                self.fill(Arc::clone(&room), gap);
            }
            if !room.to_be_checked(head.epochs).is_empty() {
                self.recheck(room.id()).await?;
            }
        }
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

/// Says whether the database has less than was told, or another message at the same place.
fn went_back(told: Option<(i64, Option<uuid::Uuid>)>, head: &Head) -> bool {
    told.is_some_and(|(seq, id)| head.last_seq < seq || (head.last_seq == seq && head.last_message_id != id))
}

/// Says whether the database no longer has what is to be told next: RETENTION was quicker than a gap was filled.
fn is_passed_over(told: Option<(i64, Option<uuid::Uuid>)>, head: &Head) -> bool {
    told.is_some_and(|(seq, _)| head.last_seq > seq && head.first_seq > seq + 1)
}

//! Inside a room: saying, reading, listening, leaving.

#[cfg(test)]
mod poll_tests;
mod speaker;
mod subscription;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::oneshot;
use uuid::Uuid;

pub use self::{speaker::Speaker, subscription::Subscription};
use super::{guard::Guard, history::History, log::Log, publisher::Publisher, seam};
use crate::{
    faults::{self, Fault},
    hub::{Attach, Connection, Event, Feed, Hub, Person, Seed, Start, frame_event},
    model::{ChatIdentity, ClientMessageId, Error, MessageBody, Result, ResumePoint, Room, RoomId, UserId},
    store::{Direction, Draft, Page, Receipt, Standing, Store},
};

/// How long a silent subscription waits for its next heartbeat.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// A page of messages has so many unless the caller asks for less or more, and never more than [`MOST_LISTED`].
pub const LISTED: usize = 50;

/// The most that one page, or the start of a subscription, may ask for.
pub const MOST_LISTED: usize = 200;

/// A page of messages is no larger than this, but for one message that is by itself: it ends early, and says that there
/// are more.
pub const PAGE_BYTES: usize = 256 * 1024;

/// A handle to what is done inside rooms. Clones share everything.
#[derive(Clone)]
pub struct Chat {
    store: Store,
    hub: Hub,
    log: Log,
    history: History,
    publisher: Publisher,
    guard: Guard,
    max_message_size: usize,
}

/// How a chat is to be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Telling {
    /// The last message that the client has; none: from where it is due.
    pub resume: Option<ResumePoint>,
    /// After how long a silence a heartbeat is sent, in whole seconds; none: never, since an old client knows none.
    pub heartbeat: Option<Duration>,
    /// Whether it is an old client, whose end is a leaving.
    pub legacy: bool,
}

/// Which shard serves a stream, on which connection, and where its client is.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The shard's number.
    pub shard: usize,
    /// The connection.
    pub connection: Arc<Connection>,
    /// The client's address.
    pub address: IpAddr,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// With what is said from now on.
    Now,
    /// With so many of the newest messages.
    Last(usize),
    /// After the last message that the client has.
    Resume(ResumePoint),
}

impl Chat {
    /// Makes a handle.
    pub fn new(
        store: Store,
        hub: Hub,
        log: Log,
        publisher: Publisher,
        guard: Guard,
        max_message_size: usize,
    ) -> Self {
        let history = History::new(store.clone(), hub.framing());
        Self { store, hub, log, history, publisher, guard, max_message_size }
    }

    /// Stores one message and returns it with its place. The same client_message_id again returns the first
    /// answer again. A caller that is dropped does not take the message back.
    ///
    /// # Errors
    /// What is wrong with the message, or with the caller's right to say it; [`Error::Overloaded`];
    /// [`Error::DatabaseUnavailable`], after which the same id may be sent again.
    pub async fn send(
        &self,
        identity: Arc<ChatIdentity>,
        body: String,
        client_message_id: &str,
    ) -> Result<Receipt> {
        let client_message_id = ClientMessageId::parse(client_message_id)?;
        let body = MessageBody::parse(body, self.max_message_size, client_message_id.as_ref())?;
        self.guard.message(identity.user)?;
        let (reply, answer) = oneshot::channel();
        let message_id = self.hub.message_id();
        let draft = Draft { identity, body, client_message_id, message_id };
        self.log.submit(
            draft,
            Box::new(move |receipt| {
                // A caller that is gone needs no answer.
                let _ = reply.send(receipt);
            }),
        )?;
        answer.await.unwrap_or(Err(Error::Internal))
    }

    /// Reads a page of the log: up to `size` messages, and [`PAGE_BYTES`].
    ///
    /// # Errors
    /// Where the caller may not be in the room, and failures of the database.
    pub async fn list_messages(
        &self,
        identity: &ChatIdentity,
        direction: Direction,
        size: usize,
    ) -> Result<Page> {
        let page = self.store.list_messages(identity, direction, size, PAGE_BYTES).await?;
        // Whoever finds a message of their own here takes it for stored, as on a stream.
        self.store.settled().await?;
        Ok(page)
    }

    /// Returns who is present, the longest first.
    ///
    /// # Errors
    /// Where the caller may not be in the room, and failures of the database.
    pub async fn users(&self, identity: &ChatIdentity) -> Result<Vec<(UserId, Person)>> {
        self.store.standing(identity).await?;
        Ok(self.hub.people(identity.room))
    }

    /// Gives up the caller's membership, and ends their streams in the room.
    ///
    /// # Errors
    /// Where the caller may not be in the room, and failures of the database.
    pub async fn leave(&self, identity: &ChatIdentity) -> Result<()> {
        self.store.standing(identity).await?;
        self.store.end_membership(identity.room, Some(identity.user), false).await?;
        self.hub.leave(identity.room, identity.user);
        self.publisher.recheck(identity.room).await
    }

    /// Opens a subscription.
    ///
    /// # Errors
    /// Where the caller may not be in the room or has too many streams, and failures of the database.
    pub async fn subscribe(
        &self,
        identity: Arc<ChatIdentity>,
        begin: Begin,
        seat: Seat,
    ) -> Result<Subscription> {
        let opened = self.open(identity, (Feed::Subscribe, Some(HEARTBEAT_INTERVAL)), begin, seat).await?;
        let framing = self.hub.framing();
        let subscribed = Event::Subscribed { room: opened.room, reset: opened.reset };
        let (people, count) = opened.people;
        let mut prelude = bytes::BytesMut::from(&frame_event(&subscribed, framing)[..]);
        prelude.extend_from_slice(&frame_event(&Event::Presence(people, count), framing));
        Ok(Subscription::new(
            opened.cursor,
            self.history.clone(),
            Some(prelude.freeze()),
            Some(opened.last_seq),
        ))
    }

    /// Opens a chat: what is said to it, and what it says. Also returns whether its resume point could not be
    /// continued from. Without one the first chat after entering begins with what was said since.
    ///
    /// # Errors
    /// Where the caller may not be in the room or has too many streams, and failures of the database.
    pub async fn chat(
        &self,
        identity: Arc<ChatIdentity>,
        telling: Telling,
        seat: Seat,
    ) -> Result<(Subscription, Speaker, bool)> {
        let Telling { resume, heartbeat, legacy } = telling;
        let (begin, address) = (resume.map_or(Begin::Now, Begin::Resume), seat.address);
        let mut opened = self.open(Arc::clone(&identity), (Feed::Chat, heartbeat), begin, seat).await?;
        if legacy {
            opened.cursor.leave_at_end();
        }
        if let Some(from) = self.store.take_chat_from(identity.room, identity.user).await?
            && resume.is_none()
        {
            opened.cursor.rewind((from + 1).max(opened.first_seq));
        }
        let speaker = Speaker::new(self.clone(), identity, address, &opened.cursor, legacy);
        let subscription = Subscription::new(opened.cursor, self.history.clone(), None, None);
        Ok((subscription, speaker, opened.reset))
    }

    async fn open(
        &self,
        identity: Arc<ChatIdentity>,
        (feed, heartbeat): (Feed, Option<Duration>),
        begin: Begin,
        seat: Seat,
    ) -> Result<Opened> {
        let mut permit = self.hub.permits().take(identity.user, identity.room)?;
        loop {
            let (room, server) = (self.hub.open(identity.room), self.store.server());
            let standing = self.store.standing(&identity).await;
            let standing = standing.inspect_err(|_| self.hub.forget_if_idle(identity.room))?;
            let (last_seq, last_message_id) = (standing.room.last_seq, standing.last_message_id);
            let seeded = room.seed(Seed { last_seq, last_message_id, server });
            // Who comes back with a message of this log must not be told what stood in another behind its place.
            let follows = seeded.is_ok() && seam::holds(&self.store, &room).await?;
            if !follows {
                self.publisher.reset(&room);
                continue;
            }
            let (start, reset) = self.start(identity.room, begin, &standing).await?;
            let attach = Attach {
                feed,
                heartbeat: heartbeat.map(|silence| u32::try_from(silence.as_secs()).unwrap_or(u32::MAX)),
                shard: seat.shard,
                stream: self.hub.stream_id(),
                identity: Arc::clone(&identity),
                checked: standing.epochs,
                start,
                has: if let Begin::Resume(point) = begin { point.message_id } else { None },
                first_seq: standing.first_seq,
                permit,
                connection: Arc::clone(&seat.connection),
            };
            match self.hub.attach(&room, attach) {
                Ok(attached) => {
                    let mut room = standing.room;
                    // The hub hears of a message a little later than the database has it, and the other way round.
                    room.last_seq = room.last_seq.max(attached.last_seq);
                    return Ok(Opened {
                        cursor: attached.cursor,
                        reset,
                        first_seq: standing.first_seq,
                        last_seq: room.last_seq,
                        room,
                        people: attached.people,
                    });
                }
                Err(refused) => permit = refused.permit,
            }
        }
    }

    /// Returns where a stream begins, and whether that is not where it asked to: its last message must be in the
    /// log, at its place, with its id.
    async fn start(&self, room: RoomId, begin: Begin, standing: &Standing) -> Result<(Start, bool)> {
        let point = match begin {
            Begin::Now => return Ok((Start::Now, false)),
            Begin::Last(count) => {
                return Ok((Start::Last(i64::try_from(count).unwrap_or(i64::MAX)), false));
            }
            Begin::Resume(point) => point,
        };
        let continues = match point.message_id {
            None => point.seq == 0 && standing.first_seq == 1,
            Some(id) if point.seq == standing.room.last_seq => standing.last_message_id == Some(id),
            Some(id) => point.seq >= standing.first_seq && self.is_at(room, point.seq, id).await?,
        };
        if !continues && faults::is(Fault::ResumePointTrusted) {
            return Ok((Start::After(point.seq.min(standing.room.last_seq)), false));
        }
        Ok(if continues { (Start::After(point.seq), false) } else { (Start::Now, true) })
    }

    async fn is_at(&self, room: RoomId, seq: i64, id: Uuid) -> Result<bool> {
        Ok(self.store.message_id_at(room, seq).await? == Some(id))
    }

    /// Forgets every frame that may hold the name of an account that was deleted, now and once what its owner said just
    /// before has been published.
    pub fn forget_names(&self) {
        self.forget_frames();
        let chat = self.clone();
        self.publisher.once_told(move || chat.forget_frames());
    }

    /// Forgets every frame of now. A page that is being read meanwhile belongs to the era that ends here; what is in no room's
    /// memory begins one when it is opened.
    pub fn forget_frames(&self) {
        for room in self.hub.rooms() {
            room.drop_chunks();
        }
        self.history.clear();
    }
}

/// A stream that was opened.
struct Opened {
    cursor: crate::hub::Cursor,
    room: Room,
    reset: bool,
    first_seq: i64,
    last_seq: i64,
    people: (Vec<Person>, usize),
}

//! What a member can do inside a room.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{chat_sender::ChatSender, message_intake::MessageIntake, subscription::Subscription};
use crate::{
    domain::{
        history::History, log::Log, log_continuity, name_cache::NameCache, publisher::Publisher,
        rate_limits::RateLimits,
    },
    faults::{self, Fault},
    hub::{Attach, Connection, Event, Hub, Person, Seed, Start, StreamKind, frame_event},
    model::{ChatIdentity, Error, Rejoin, Result, ResumePoint, Room, RoomId, Seq, UserId},
    store::{Direction, Page, Receipt, RoomAccess, Store},
};

/// The heartbeat interval of a subscription without other events.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// How many messages a page holds by default.
pub const DEFAULT_PAGE_SIZE: usize = 50;

/// How many messages a page, or the start of a subscription, holds at most.
pub const MAX_PAGE_SIZE: usize = 200;

/// How many bytes a page of messages holds at most, unless it is a single message. A page that ends early says that there
/// are more.
pub const PAGE_BYTES: usize = 256 * 1024;

/// What a member can do inside a room. Clones share everything.
#[derive(Clone)]
pub struct Chat {
    store: Store,
    hub: Hub,
    history: History,
    publisher: Publisher,
    intake: MessageIntake,
}

/// Options of a chat stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChatOptions {
    /// The last message that the client has; `None`: start where the server decides.
    pub resume: Option<ResumePoint>,
    /// The heartbeat interval, in whole seconds; `None` for an old client, which knows no heartbeats.
    pub heartbeat: Option<Duration>,
    /// Whether it is an old client, which leaves the room by ending its stream.
    pub legacy: bool,
}

/// Where a stream comes from.
#[derive(Clone, Debug)]
pub struct StreamOrigin {
    /// The number of the shard that serves it.
    pub shard: usize,
    /// The connection that carries it.
    pub connection: Arc<Connection>,
    /// The client's address.
    pub address: IpAddr,
}

/// Where a client asks its stream to start.
#[derive(Clone, Copy, Debug)]
pub enum RequestedStart {
    /// With the next message.
    Now,
    /// With this number of the newest messages.
    Last(usize),
    /// After the last message that the client has.
    Resume(ResumePoint),
}

impl Chat {
    /// Creates the service.
    pub fn new(
        store: Store,
        hub: Hub,
        log: Log,
        publisher: Publisher,
        rate_limits: RateLimits,
        max_message_size: usize,
    ) -> Self {
        let history = History::new(store.clone(), hub.framing());
        let intake = MessageIntake::new(hub.clone(), log, rate_limits, max_message_size);
        Self { store, hub, history, publisher, intake }
    }

    /// Stores a message and returns it with its seq. Sending the same client_message_id again returns the first receipt
    /// again. Dropping this future does not withdraw the message.
    ///
    /// # Errors
    /// What is wrong with the message, or with the caller's right to send it; [`Error::Overloaded`];
    /// [`Error::DatabaseUnavailable`], after which the same id may be sent again.
    pub async fn send(
        &self,
        identity: Arc<ChatIdentity>,
        body: String,
        client_message_id: &str,
    ) -> Result<Receipt> {
        let draft = self.intake.draft(&identity, body, client_message_id)?;
        let (reply, answer) = oneshot::channel();
        self.intake.submit(
            draft,
            Box::new(move |receipt| {
                // A caller that is gone needs no reply.
                let _ = reply.send(receipt);
            }),
        )?;
        answer.await.unwrap_or(Err(Error::Internal))
    }

    /// Reads a page of the log: up to `size` messages and [`PAGE_BYTES`] bytes.
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
        // A caller takes their own message in the list as stored, as on a stream.
        self.store.wait_for_standby().await?;
        Ok(page)
    }

    /// Returns who is present, the longest present first.
    ///
    /// # Errors
    /// Where the caller may not be in the room, and failures of the database.
    pub async fn users(&self, identity: &ChatIdentity) -> Result<Vec<(UserId, Person)>> {
        self.store.room_access(identity).await?;
        Ok(self.hub.people(identity.room))
    }

    /// Gives up the caller's membership, and ends their streams in the room.
    ///
    /// # Errors
    /// Where the caller may not be in the room, and failures of the database.
    pub async fn leave(&self, identity: &ChatIdentity) -> Result<()> {
        self.store.room_access(identity).await?;
        self.store.end_membership(identity.room, Some(identity.user), Rejoin::Allowed).await?;
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
        start: RequestedStart,
        origin: StreamOrigin,
    ) -> Result<Subscription> {
        let opened =
            self.open(identity, (StreamKind::Subscribe, Some(HEARTBEAT_INTERVAL)), start, origin).await?;
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

    /// Opens a chat. Returns its receiving and its sending half, and whether its resume point was not in the log.
    /// Without a resume point, the first chat after joining starts with the messages since then.
    ///
    /// # Errors
    /// Where the caller may not be in the room or has too many streams, and failures of the database.
    pub async fn chat(
        &self,
        identity: Arc<ChatIdentity>,
        options: ChatOptions,
        origin: StreamOrigin,
    ) -> Result<(Subscription, ChatSender, bool)> {
        let ChatOptions { resume, heartbeat, legacy } = options;
        let (start, address) = (resume.map_or(RequestedStart::Now, RequestedStart::Resume), origin.address);
        let mut opened =
            self.open(Arc::clone(&identity), (StreamKind::Chat, heartbeat), start, origin).await?;
        if legacy {
            opened.cursor.leave_at_end();
        }
        if let Some(from) = self.store.take_chat_start(identity.room, identity.user).await?
            && resume.is_none()
        {
            opened.cursor.rewind(from.next().max(opened.first_seq));
        }
        let sender = ChatSender::new(self.intake.clone(), identity, address, &opened.cursor, legacy);
        let subscription = Subscription::new(opened.cursor, self.history.clone(), None, None);
        Ok((subscription, sender, opened.reset))
    }

    async fn open(
        &self,
        identity: Arc<ChatIdentity>,
        (kind, heartbeat): (StreamKind, Option<Duration>),
        requested: RequestedStart,
        origin: StreamOrigin,
    ) -> Result<OpenedStream> {
        let mut permit = self.hub.permits().acquire(identity.user, identity.room)?;
        loop {
            let (room, server) = (self.hub.open(identity.room), self.store.server_number());
            let access = self.store.room_access(&identity).await;
            let access = access.inspect_err(|_| self.hub.evict_if_idle(identity.room))?;
            let (last_seq, last_message_id) = (access.room.last_seq, access.last_message_id);
            let seeded = room.seed(Seed { last_seq, last_message_id, server });
            // A client that resumes after a message of this log must not receive messages of another one.
            let is_same_log = seeded.is_ok() && log_continuity::holds(&self.store, &room).await?;
            if !is_same_log {
                self.publisher.reset(&room);
                continue;
            }
            let (start, reset) = self.start(identity.room, requested, &access).await?;
            let attach = Attach {
                kind,
                heartbeat: heartbeat.map(|silence| u32::try_from(silence.as_secs()).unwrap_or(u32::MAX)),
                shard: origin.shard,
                stream: self.hub.stream_id(),
                identity: Arc::clone(&identity),
                epochs: access.epochs,
                start,
                resume_id: if let RequestedStart::Resume(point) = requested {
                    point.message_id
                } else {
                    None
                },
                first_seq: access.first_seq,
                permit,
                connection: Arc::clone(&origin.connection),
            };
            match self.hub.attach(&room, attach) {
                Ok(attached) => {
                    let mut room = access.room;
                    // Either may be slightly ahead: the database is read before the stream is attached, and a message is
                    // published after its commit.
                    room.last_seq = room.last_seq.max(attached.last_seq);
                    return Ok(OpenedStream {
                        cursor: attached.cursor,
                        reset,
                        first_seq: access.first_seq,
                        last_seq: room.last_seq,
                        room,
                        people: attached.people,
                    });
                }
                Err(refused) => permit = refused.permit,
            }
        }
    }

    /// Returns where a stream starts, and whether that differs from where it asked to start: its last message must be
    /// in the log, at its seq, with its id.
    async fn start(
        &self,
        room: RoomId,
        requested: RequestedStart,
        access: &RoomAccess,
    ) -> Result<(Start, bool)> {
        let point = match requested {
            RequestedStart::Now => return Ok((Start::Now, false)),
            RequestedStart::Last(count) => return Ok((Start::Last(count), false)),
            RequestedStart::Resume(point) => point,
        };
        let continues = match point.message_id {
            None => point.seq == Seq::ZERO && access.first_seq == Seq::FIRST,
            Some(id) if point.seq == access.room.last_seq => access.last_message_id == Some(id),
            Some(id) => point.seq >= access.first_seq && self.is_at(room, point.seq, id).await?,
        };
        if !continues && faults::is(Fault::ResumePointTrusted) {
            return Ok((Start::After(point.seq.min(access.room.last_seq)), false));
        }
        Ok(if continues { (Start::After(point.seq), false) } else { (Start::Now, true) })
    }

    async fn is_at(&self, room: RoomId, seq: Seq, id: Uuid) -> Result<bool> {
        Ok(self.store.message_id_at(room, seq).await? == Some(id))
    }

    /// Returns the cache of user names, which is invalidated when an account is deleted.
    pub fn name_cache(&self) -> NameCache {
        NameCache::new(self.hub.clone(), self.history.clone(), self.publisher.tasks().clone())
    }
}

/// A stream that was opened, with its room as it is then.
struct OpenedStream {
    cursor: crate::hub::Cursor,
    room: Room,
    reset: bool,
    first_seq: Seq,
    last_seq: Seq,
    people: (Vec<Person>, usize),
}

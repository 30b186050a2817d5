//! The sending half of a chat stream: messages in the order sent, each stored, echoed or rejected.

use std::{net::IpAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use uuid::Uuid;

use super::message_intake::MessageIntake;
use crate::{
    audit,
    hub::{Cursor, Event, Room, SlotKey, StreamKind, frame, frame_event},
    model::{ChatIdentity, ClientMessageId, Error, Payer, Result, Seq},
    store::Receipt,
};

/// How many messages with a client_message_id may be unanswered on one stream. The answer is the frame that is put into
/// the stream.
const MAX_UNANSWERED_WITH_ID: usize = 64;

/// How many messages without one may wait for storage. Clients that send them know no answers.
const MAX_UNANSWERED_WITHOUT_ID: usize = 1_024;

/// How many bytes of bodies of those messages.
const MAX_UNANSWERED_BYTES: usize = 1024 * 1024;

/// How much of a client_message_id is echoed in a rejection: the length of a valid one.
const ECHOED_BYTES: usize = 64;

/// The sending half of a chat. Dropping it does not withdraw messages.
pub struct ChatSender {
    intake: MessageIntake,
    identity: Arc<ChatIdentity>,
    address: IpAddr,
    replies: Arc<ReplySink>,
    legacy: bool,
}

/// Turns the log's replies to a stream's messages into frames on that stream.
struct ReplySink {
    room: Arc<Room>,
    slot: SlotKey,
    unanswered: Mutex<Unreplied>,
}

/// A message that was submitted to the log.
struct Submitted {
    message_id: Uuid,
    client_message_id: Option<ClientMessageId>,
    bytes: usize,
}

/// The messages that the log has not replied to.
#[derive(Default)]
struct Unreplied {
    with_id: usize,
    without_id: usize,
    without_id_bytes: usize,
    /// The newest stored message of this stream.
    last_seq: Seq,
    /// Whether the client has half-closed the stream.
    finishing: bool,
}

impl ChatSender {
    pub(super) fn new(
        intake: MessageIntake,
        identity: Arc<ChatIdentity>,
        address: IpAddr,
        cursor: &Cursor,
        legacy: bool,
    ) -> Self {
        let room = Arc::clone(cursor.room());
        let replies = Arc::new(ReplySink { room, slot: cursor.key(), unanswered: Mutex::default() });
        Self { intake, identity, address, replies, legacy }
    }

    /// Sends one message. If it has a client_message_id, an error is reported on the stream, and the stream goes on. Never
    /// blocks, so that the client's frames are read without a pause.
    ///
    /// # Errors
    /// What is wrong with a message that has no client_message_id: the stream ends with it. [`Error::StreamBehind`]
    /// where the stream has ended already: a client that does not read its end would go on for ever.
    pub fn send(&self, body: String, client_message_id: &str) -> Result<()> {
        if !self.replies.room.is_live(self.replies.slot) {
            return Err(Error::StreamBehind);
        }
        match self.submit(body, client_message_id).inspect_err(|error| self.audit_limit(error)) {
            Err(error) if !client_message_id.is_empty() => {
                self.replies.reject(client_message_id, error);
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn audit_limit(&self, error: &Error) {
        if error.is_limit() {
            let (payer, user) = (Payer::User(self.identity.user), self.identity.user_name.as_str());
            audit::limit_hit(payer, Some(self.address), Some(user), error.reason());
        }
    }

    fn submit(&self, body: String, client_message_id: &str) -> Result<()> {
        let draft = self.intake.draft(&self.identity, body, client_message_id)?;
        let (message_id, bytes, has_id) =
            (draft.message_id, draft.body.len(), draft.client_message_id.is_some());
        let submitted = Submitted { message_id, client_message_id: draft.client_message_id.clone(), bytes };
        self.replies.expect(&submitted)?;
        let replies = Arc::clone(&self.replies);
        let reply = Box::new(move |receipt| replies.answer(&submitted, receipt));
        self.intake.submit(draft, reply).inspect_err(|_| {
            self.replies.room.withdraw(self.replies.slot, message_id);
            self.replies.unanswered.lock().remove(has_id, bytes);
        })
    }

    /// Ends sending: the stream ends with OK once every message is stored and answered. An old client leaves the room by
    /// this, and the others are notified at once.
    pub fn finish(self) {
        let ReplySink { room, slot, unanswered } = &*self.replies;
        let mut unanswered = unanswered.lock();
        unanswered.finishing = true;
        let (is_idle, last_seq) = (unanswered.is_idle(), unanswered.last_seq);
        drop(unanswered);
        if is_idle {
            room.end_after(*slot, last_seq);
        }
        if self.legacy {
            self.intake.hub().leave_with_stream(room, self.identity.user, slot.stream());
        }
    }

    /// Ends the stream with an error.
    pub fn refuse(self, error: Error) {
        self.replies.room.end(self.replies.slot, error);
    }
}

impl ReplySink {
    /// Expects a reply from the log. Called before the message is submitted: any task may publish it from then on, and
    /// this stream must recognize it as its own.
    fn expect(&self, submitted: &Submitted) -> Result<()> {
        if submitted.client_message_id.is_none() {
            self.unanswered.lock().add_without_id(submitted.bytes)?;
            self.room.suppress_echo(self.slot, submitted.message_id);
            return Ok(());
        }
        if !self.room.await_answer(self.slot, submitted.message_id, MAX_UNANSWERED_WITH_ID) {
            return Err(Error::TooManyUnanswered { limit: MAX_UNANSWERED_WITH_ID });
        }
        self.unanswered.lock().with_id += 1;
        Ok(())
    }

    fn answer(&self, submitted: &Submitted, receipt: Result<Receipt>) {
        let stored = receipt.as_ref().map_or(Seq::ZERO, |receipt| receipt.message.seq);
        match (receipt, &submitted.client_message_id) {
            // A new message is published with its id, to this stream too.
            (Ok(receipt), Some(_)) if receipt.duplicate => self.repeat(submitted.message_id, &receipt),
            (Ok(_), _) => {}
            (Err(error), Some(id)) => {
                self.room.answer(self.slot, submitted.message_id, self.rejection(id.as_str(), error));
            }
            (Err(error), None) => self.room.end(self.slot, error),
        }
        let mut unanswered = self.unanswered.lock();
        unanswered.remove(submitted.client_message_id.is_some(), submitted.bytes);
        unanswered.last_seq = unanswered.last_seq.max(stored);
        if unanswered.finishing && unanswered.is_idle() {
            self.room.end_after(self.slot, unanswered.last_seq);
        }
    }

    /// Sends a message again that was stored before.
    fn repeat(&self, message_id: Uuid, receipt: &Receipt) {
        let (message, framing) = (&receipt.message, self.room.framing());
        let mut frames = BytesMut::with_capacity(256);
        frame(&mut frames, |bytes| (framing.message)(StreamKind::Chat, message, bytes));
        self.room.answer_duplicate(self.slot, message_id, (message.seq, message.message_id), frames.freeze());
    }

    /// Rejects a message that was not submitted.
    fn reject(&self, client_message_id: &str, error: Error) {
        self.room.send(self.slot, self.rejection(client_message_id, error));
    }

    fn rejection(&self, client_message_id: &str, error: Error) -> Bytes {
        let echoed = &client_message_id[..client_message_id.floor_char_boundary(ECHOED_BYTES)];
        let event = Event::Rejected { client_message_id: echoed.to_owned(), error };
        frame_event(&event, self.room.framing())
    }
}

impl Unreplied {
    fn add_without_id(&mut self, bytes: usize) -> Result<()> {
        if self.without_id >= MAX_UNANSWERED_WITHOUT_ID
            || self.without_id_bytes + bytes > MAX_UNANSWERED_BYTES
        {
            return Err(Error::TooManyUnanswered { limit: MAX_UNANSWERED_WITHOUT_ID });
        }
        self.without_id += 1;
        self.without_id_bytes += bytes;
        Ok(())
    }

    fn remove(&mut self, has_id: bool, bytes: usize) {
        if has_id {
            self.with_id -= 1;
        } else {
            self.without_id -= 1;
            self.without_id_bytes -= bytes;
        }
    }

    fn is_idle(&self) -> bool {
        self.with_id == 0 && self.without_id == 0
    }
}

//! What a chat stream says: messages in the order sent, each stored, echoed or refused.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Chat;
use crate::{
    hub::{Chunk, Cursor, Event, Feed, Place, Room, frame_event},
    model::{ChatIdentity, ClientMessageId, Error, Line, MessageBody, Result},
    store::{Draft, Receipt},
};

/// So many messages with a client_message_id may wait for their answer on one stream.
const UNANSWERED_NAMED: usize = 64;

/// So many messages without one may, from clients that know no answers.
const UNANSWERED_NAMELESS: usize = 1_024;

/// And so many bytes of them.
const UNANSWERED_BYTES: usize = 1024 * 1024;

/// So much is told back of what a client calls its message: as long as an id may be.
const ECHOED_BYTES: usize = 64;

/// The half of a chat that says. Dropping it does not take back what was said.
pub struct Speaker {
    chat: Chat,
    identity: Arc<ChatIdentity>,
    outlet: Arc<Outlet>,
    legacy: bool,
}

/// Where the answers to a stream's messages go.
struct Outlet {
    room: Arc<Room>,
    place: Place,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    named: usize,
    nameless: usize,
    nameless_bytes: usize,
    /// The newest message of this stream that is stored.
    last_seq: i64,
    /// Whether the client has said its last.
    finishing: bool,
}

impl Speaker {
    pub(super) fn new(chat: Chat, identity: Arc<ChatIdentity>, cursor: &Cursor, legacy: bool) -> Self {
        let room = Arc::clone(cursor.room());
        let outlet = Arc::new(Outlet { room, place: cursor.place(), waiting: Mutex::default() });
        Self { chat, identity, outlet, legacy }
    }

    /// Says one message. What is wrong with one that has a client_message_id is told on the stream, which goes
    /// on; never blocks, so that the stream is read on: unread frames would cost the connection.
    ///
    /// # Errors
    /// What is wrong with a message that has none: the stream ends with it. [`Error::StreamBehind`] where the stream
    /// was ended already: its client may not read that, and would go on for ever.
    pub fn say(&self, body: String, client_message_id: &str) -> Result<()> {
        if !self.outlet.room.goes_on(self.outlet.place) {
            return Err(Error::StreamBehind);
        }
        match self.submit(body, client_message_id) {
            Err(error) if !client_message_id.is_empty() => {
                self.outlet.reject(client_message_id, error);
                Ok(())
            }
            done => done,
        }
    }

    fn submit(&self, body: String, client_message_id: &str) -> Result<()> {
        let client_message_id = ClientMessageId::parse(client_message_id)?;
        let body = MessageBody::parse(body, self.chat.max_message_size, client_message_id.as_ref())?;
        self.chat.guard.message(self.identity.user)?;
        let bytes = body.len();
        let origin = client_message_id.is_none().then_some(self.outlet.place.stream());
        self.outlet.waiting.lock().begin(client_message_id.is_some(), bytes)?;
        let outlet = Arc::clone(&self.outlet);
        let id = client_message_id.clone();
        let draft = Draft { identity: Arc::clone(&self.identity), body, client_message_id, origin };
        let reply = Box::new(move |receipt| outlet.answer(id, bytes, receipt));
        let named = draft.client_message_id.is_some();
        self.chat.log.submit(draft, reply).inspect_err(|_| self.outlet.waiting.lock().done(named, bytes))
    }

    /// Says that nothing more is said: the stream ends with OK once all of it is stored and answered. For an old
    /// client that is leaving the room, and is told to the others at once.
    pub fn finish(self) {
        let mut waiting = self.outlet.waiting.lock();
        waiting.finishing = true;
        let ended = waiting.is_idle();
        let last_seq = waiting.last_seq;
        drop(waiting);
        if ended {
            self.outlet.room.end_after(self.outlet.place, last_seq);
        }
        if self.legacy {
            let stream = self.outlet.place.stream();
            self.chat.hub.leave_by(&self.outlet.room, self.identity.user, stream);
        }
    }

    /// Ends the stream with a refusal.
    pub fn refuse(self, error: Error) {
        self.outlet.room.end(self.outlet.place, error);
    }
}

impl Outlet {
    fn answer(&self, id: Option<ClientMessageId>, bytes: usize, receipt: Result<Receipt>) {
        let named = id.is_some();
        let stored = receipt.as_ref().map_or(0, |receipt| receipt.message.seq);
        match (receipt, id) {
            // What is new, the log tells, with its id: to this stream too.
            (Ok(receipt), Some(_)) if receipt.duplicate => self.repeat(receipt),
            (Ok(_), _) => {}
            (Err(error), Some(id)) => self.reject(id.as_str(), error),
            (Err(error), None) => self.room.end(self.place, error),
        }
        let mut waiting = self.waiting.lock();
        waiting.done(named, bytes);
        waiting.last_seq = waiting.last_seq.max(stored);
        if waiting.finishing && waiting.is_idle() {
            self.room.end_after(self.place, waiting.last_seq);
        }
    }

    fn repeat(&self, receipt: Receipt) {
        let line = Line { message: receipt.message, origin: None };
        for chunk in Chunk::cut(std::slice::from_ref(&line), Feed::Chat, self.room.framing()) {
            let seq = line.message.seq;
            self.room.repeat(self.place, seq, chunk.from_seq(seq, self.place.stream()));
        }
    }

    fn reject(&self, client_message_id: &str, error: Error) {
        let echoed = &client_message_id[..client_message_id.floor_char_boundary(ECHOED_BYTES)];
        let event = Event::Rejected { client_message_id: echoed.to_owned(), error };
        self.room.send(self.place, frame_event(&event, self.room.framing()));
    }
}

impl Waiting {
    fn begin(&mut self, named: bool, bytes: usize) -> Result<()> {
        if named {
            if self.named >= UNANSWERED_NAMED {
                return Err(Error::TooManyUnanswered { limit: UNANSWERED_NAMED });
            }
            self.named += 1;
        } else {
            if self.nameless >= UNANSWERED_NAMELESS || self.nameless_bytes + bytes > UNANSWERED_BYTES {
                return Err(Error::TooManyUnanswered { limit: UNANSWERED_NAMELESS });
            }
            self.nameless += 1;
            self.nameless_bytes += bytes;
        }
        Ok(())
    }

    fn done(&mut self, named: bool, bytes: usize) {
        if named {
            self.named -= 1;
        } else {
            self.nameless -= 1;
            self.nameless_bytes -= bytes;
        }
    }

    fn is_idle(&self) -> bool {
        self.named == 0 && self.nameless == 0
    }
}

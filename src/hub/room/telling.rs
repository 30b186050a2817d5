//! What is told: in order, each message once, behind the one that was told last. Gaps are found here, and filled by others.

use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Gap, Room, State,
    seam::{Fork, Joined, is_another, joined},
};
use crate::{
    faults::{self, Fault},
    hub::{Chunk, Feed},
    model::{Message, Passage},
};

/// Messages that wait until a gap before them is filled take so many bytes at most. What comes beyond is not kept: the
/// poll finds that it is missing.
const HELD_BYTES: usize = 256 * 1024;

/// What a message takes beside its body.
const MESSAGE_BYTES: usize = 256;

impl Room {
    /// Tells messages that this process has just committed, in order and each once. Where some before them are missing, they
    /// wait, and the gap is returned once: fill it, or call [`Self::give_up_filling`].
    ///
    /// # Errors
    /// Where they do not follow what was told: nothing of them is told, and the room must be closed.
    pub fn publish(self: &Arc<Self>, passage: Passage) -> Result<Option<Gap>, Fork> {
        let mut state = self.state.lock();
        // They are fresh, so a room that nobody told where the log is begins with them.
        if state.next_seq.is_none()
            && let Some(first) = passage.messages.first()
        {
            state.next_seq = Some(first.seq);
            state.last_message_id = passage.before;
        }
        self.hear(&mut state, passage)
    }

    /// Notes that the log has a message of this seq, and returns the gap up to it, once.
    pub fn observe(&self, last_seq: i64) -> Option<Gap> {
        let mut state = self.state.lock();
        let next = state.next_seq?;
        if last_seq < next || state.filling || state.closed || faults::is(Fault::TailForgotten) {
            return None;
        }
        state.filling = true;
        Some(Gap { first: next, last: last_seq })
    }

    /// Tells what was read from the log to fill a gap, and returns the next gap, if there is another. It should
    /// begin with the message before the gap, which was told.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn fill(self: &Arc<Self>, passage: Passage) -> Result<Option<Gap>, Fork> {
        let mut state = self.state.lock();
        state.filling = false;
        self.hear(&mut state, passage)
    }

    /// Notes that a gap could not be filled now: the poll will find it again.
    pub fn give_up_filling(&self) {
        self.state.lock().filling = false;
    }

    /// Tells what follows what was told, whoever says it, and keeps what comes later.
    fn hear(self: &Arc<Self>, state: &mut State, passage: Passage) -> Result<Option<Gap>, Fork> {
        if state.closed {
            return Ok(None);
        }
        let mut held = std::mem::take(&mut state.held);
        held.extend(joined(passage));
        held.sort_by_key(Joined::seq);
        let Some(mut next) = state.next_seq else {
            state.hold(held);
            return Ok(None);
        };
        let mut told = state.last_message_id;
        let (mut fresh, mut later) = (Vec::with_capacity(held.len()), Vec::new());
        for joined in held {
            if joined.is_of_another_log(next, told) {
                return Err(Fork);
            }
            match joined.seq() {
                seq if seq < next => {}
                seq if seq == next && state.differs_from_what_is_ahead(&joined) => return Err(Fork),
                seq if seq == next || faults::is(Fault::GapFillSkipped) => {
                    (next, told) = (seq + 1, Some(joined.message.message_id));
                    fresh.push(joined.message);
                }
                _ => later.push(joined),
            }
        }
        (state.next_seq, state.last_message_id) = (Some(next), told);
        state.ahead.retain(|(seq, _)| *seq >= next);
        if let [first, second, ..] = &mut fresh[..]
            && faults::is_nth(Fault::TwoSwapped, 5)
        {
            std::mem::swap(first, second);
            std::mem::swap(&mut first.seq, &mut second.seq);
        }
        self.tell(state, &fresh);
        state.hold(later);
        let Some(after) = state.held.first().map(Joined::seq) else { return Ok(None) };
        if std::mem::replace(&mut state.filling, true) {
            return Ok(None);
        }
        Ok(Some(Gap { first: next, last: after - 1 }))
    }

    fn tell(self: &Arc<Self>, state: &mut State, messages: &[Message]) {
        if messages.is_empty() {
            return;
        }
        state.last_active = Some(Instant::now());
        if state.subscribers > 0 {
            self.push(Feed::Subscribe, &Chunk::cut(messages, Feed::Subscribe, self.framing));
        }
        if state.chatters > 0 {
            self.push(Feed::Chat, &Chunk::cut(messages, Feed::Chat, self.framing));
        }
    }
}

impl State {
    /// Notes that somebody comes back who has this message.
    pub(super) fn come_back_with(&mut self, seq: i64, id: Uuid) {
        if self.next_seq.is_some_and(|next| next <= seq) && !self.ahead.contains(&(seq, id)) {
            self.ahead.push((seq, id));
        }
    }

    fn differs_from_what_is_ahead(&self, joined: &Joined) -> bool {
        let message = &joined.message;
        let mut there = self.ahead.iter().filter(|(seq, _)| *seq == message.seq);
        there.any(|(_, id)| is_another(Some(*id), Some(message.message_id)))
    }

    /// Keeps the first of the messages that wait, by rising seq, as many as may be; at least one, so that the gap before it
    /// is known.
    fn hold(&mut self, mut messages: Vec<Joined>) {
        let mut bytes = 0;
        let fit = messages.iter().take_while(|joined| {
            bytes += joined.message.body.len() + MESSAGE_BYTES;
            bytes <= HELD_BYTES
        });
        let fit = fit.count().max(1);
        messages.truncate(fit);
        self.held = messages;
    }
}

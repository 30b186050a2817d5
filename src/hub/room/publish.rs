//! Publishes a room's messages in order, each once, and finds the gaps between them, which others fill from the log.

use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    continuity::{Fork, LinkedMessage, ids_differ, linked},
    room_state::{Gap, Room, State},
};
use crate::{
    faults::{self, Fault},
    hub::{chunk::Chunk, event::StreamKind},
    model::{LogSlice, Message, Seq},
};

/// Messages that wait for a gap to be filled take at most this many bytes. The poll finds the rest again.
const PENDING_BYTES: usize = 256 * 1024;

/// Memory that a message takes beside its body.
const MESSAGE_OVERHEAD_BYTES: usize = 256;

impl Room {
    /// Publishes messages that this process has just committed, in order and each once. If some before them are missing, they
    /// wait, and the gap is returned once: fill it, or call [`Self::give_up_filling`].
    ///
    /// # Errors
    /// [`Fork`] if they do not follow what was published. None of them is published, and the room must be closed.
    pub fn publish(self: &Arc<Self>, slice: LogSlice) -> Result<Option<Gap>, Fork> {
        let mut state = self.state.lock();
        // They are the newest, so a room whose head is not known yet begins with them.
        if state.next_seq.is_none()
            && let Some(first) = slice.messages.first()
        {
            state.next_seq = Some(first.seq);
            state.last_message_id = slice.before;
        }
        self.publish_in_order(&mut state, slice)
    }

    /// Notes that the log has messages up to this seq, and returns the gap up to it, once.
    pub fn observe(&self, last_seq: Seq) -> Option<Gap> {
        let mut state = self.state.lock();
        let next = state.next_seq?;
        if last_seq < next || state.is_filling || state.closed || faults::is(Fault::TailForgotten) {
            return None;
        }
        state.is_filling = true;
        Some(Gap { first: next, last: last_seq })
    }

    /// Publishes what was read from the log to fill a gap, and returns the next gap, if there is one. The slice should begin
    /// with the message before the gap, which was published.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn fill(self: &Arc<Self>, slice: LogSlice) -> Result<Option<Gap>, Fork> {
        let mut state = self.state.lock();
        state.is_filling = false;
        self.publish_in_order(&mut state, slice)
    }

    /// Notes that a gap could not be filled now. The poll finds it again.
    pub fn give_up_filling(&self) {
        self.state.lock().is_filling = false;
    }

    /// Publishes the messages that follow what was published, and keeps those that follow a gap.
    fn publish_in_order(self: &Arc<Self>, state: &mut State, slice: LogSlice) -> Result<Option<Gap>, Fork> {
        if state.closed {
            return Ok(None);
        }
        let mut messages = std::mem::take(&mut state.pending);
        messages.extend(linked(slice));
        messages.sort_by_key(LinkedMessage::seq);
        let Some(mut next_seq) = state.next_seq else {
            state.keep_pending(messages);
            return Ok(None);
        };
        let mut last_id = state.last_message_id;
        let (mut fresh, mut later) = (Vec::with_capacity(messages.len()), Vec::new());
        for linked in messages {
            if linked.is_of_another_log(next_seq, last_id) {
                return Err(Fork);
            }
            match linked.seq() {
                seq if seq < next_seq => {}
                seq if seq == next_seq && state.contradicts_resumed(&linked) => return Err(Fork),
                seq if seq == next_seq || faults::is(Fault::GapFillSkipped) => {
                    (next_seq, last_id) = (seq.next(), Some(linked.message.message_id));
                    fresh.push(linked.message);
                }
                _ => later.push(linked),
            }
        }
        (state.next_seq, state.last_message_id) = (Some(next_seq), last_id);
        state.resumed.retain(|(seq, _)| *seq >= next_seq);
        mutant_swap(&mut fresh);
        self.push_messages(state, &fresh);
        state.keep_pending(later);
        let Some(after) = state.pending.first().map(LinkedMessage::seq) else { return Ok(None) };
        if std::mem::replace(&mut state.is_filling, true) {
            return Ok(None);
        }
        Ok(Some(Gap { first: next_seq, last: after.previous() }))
    }

    fn push_messages(self: &Arc<Self>, state: &mut State, messages: &[Message]) {
        if messages.is_empty() {
            return;
        }
        state.last_active = Some(Instant::now());
        for kind in [StreamKind::Subscribe, StreamKind::Chat] {
            if *state.count_mut(kind) > 0 {
                self.push(kind, &Chunk::cut(messages, kind, self.framing));
            }
        }
    }
}

/// Publishes two messages in the wrong order where a mutant does.
fn mutant_swap(fresh: &mut [Message]) {
    if let [first, second, ..] = fresh
        && faults::is_nth(Fault::TwoSwapped, 5)
    {
        std::mem::swap(first, second);
        std::mem::swap(&mut first.seq, &mut second.seq);
    }
}

impl State {
    /// Notes the message after which a stream resumes, if the room has not published it yet.
    pub(super) fn note_resumed(&mut self, seq: Seq, id: Uuid) {
        if self.next_seq.is_some_and(|next| next <= seq) && !self.resumed.contains(&(seq, id)) {
            self.resumed.push((seq, id));
        }
    }

    /// Says whether a client that has resumed has another message at this one's seq.
    fn contradicts_resumed(&self, linked: &LinkedMessage) -> bool {
        let message = &linked.message;
        let mut same_seq = self.resumed.iter().filter(|(seq, _)| *seq == message.seq);
        same_seq.any(|(_, id)| ids_differ(Some(*id), Some(message.message_id)))
    }

    /// Keeps the first of these messages, which are sorted by seq, up to [`PENDING_BYTES`]. Keeps at least one, so that the
    /// end of the gap before it is known.
    fn keep_pending(&mut self, mut messages: Vec<LinkedMessage>) {
        let mut bytes = 0;
        let fit = messages.iter().take_while(|linked| {
            bytes += linked.message.body.len() + MESSAGE_OVERHEAD_BYTES;
            bytes <= PENDING_BYTES
        });
        let fit = fit.count().max(1);
        messages.truncate(fit);
        self.pending = messages;
    }
}

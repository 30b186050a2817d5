//! Whether the next message continues the log that was published: the message before it must be the one published last.
//!
//! After a failover the database may be one that lost published messages and has stored others since. Their seqs are the same,
//! only their ids show it.

use uuid::Uuid;

use crate::{
    faults::{self, Fault},
    model::{LogSlice, Message, Seq},
};

/// The log does not hold what was published. The room's streams must be ended, and their clients resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork;

/// A message to be published, with the id of the message before it in the log, where that is known.
#[derive(Debug)]
pub(super) struct LinkedMessage {
    pub(super) previous_id: Option<Uuid>,
    pub(super) message: Message,
}

impl LinkedMessage {
    pub(super) fn seq(&self) -> Seq {
        self.message.seq
    }

    /// Says whether this message proves that its log is not the published one. `last_id` is the id that was published
    /// right before `next_seq`.
    pub(super) fn is_of_another_log(&self, next_seq: Seq, last_id: Option<Uuid>) -> bool {
        match self.seq() {
            seq if seq == next_seq.previous() => ids_differ(last_id, Some(self.message.message_id)),
            seq if seq == next_seq => ids_differ(last_id, self.previous_id),
            _ => false,
        }
    }
}

/// Gives each message of a slice the id of the one before it.
pub(super) fn linked(slice: LogSlice) -> impl Iterator<Item = LinkedMessage> {
    let mut previous_id = slice.before;
    let mut expected = slice.messages.first().map(|message| message.seq);
    slice.messages.into_iter().map(move |message| {
        let known = previous_id.filter(|_| expected == Some(message.seq));
        (previous_id, expected) = (Some(message.message_id), Some(message.seq.next()));
        LinkedMessage { previous_id: known, message }
    })
}

/// Says whether two ids at the same seq are known to be those of different messages.
pub fn ids_differ(published: Option<Uuid>, found: Option<Uuid>) -> bool {
    published.zip(found).is_some_and(|(published, found)| published != found)
        && !faults::is(Fault::ForkUndetected)
}

//! The seam between what was told and what comes next: the message before the next one must be the one that was told last.
//!
//! The database may be another one by now, whose log has lost what was told and has grown again. A place alone does not
//! show that, the id at it does.

use uuid::Uuid;

use crate::{
    faults::{self, Fault},
    model::{Message, Passage},
};

/// What was told is not what the log holds: its streams must be ended, and will resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork;

/// A message that is to be told, and the id of the message before it, where that is known.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) before: Option<Uuid>,
    pub(super) message: Message,
}

impl Joined {
    pub(super) fn seq(&self) -> i64 {
        self.message.seq
    }

    /// Says whether this message belongs to another log than the one of which `told` was told last, at the place before
    /// `next`.
    pub(super) fn is_of_another_log(&self, next: i64, told: Option<Uuid>) -> bool {
        match self.seq() {
            seq if seq == next - 1 => is_another(told, Some(self.message.message_id)),
            seq if seq == next => is_another(told, self.before),
            _ => false,
        }
    }
}

/// Gives each message of a passage the id of the one before it.
pub(super) fn joined(passage: Passage) -> impl Iterator<Item = Joined> {
    let mut before = passage.before;
    let mut next = passage.messages.first().map(|message| message.seq);
    passage.messages.into_iter().map(move |message| {
        let known = before.filter(|_| next == Some(message.seq));
        (before, next) = (Some(message.message_id), Some(message.seq + 1));
        Joined { before: known, message }
    })
}

/// Says whether two ids, which stand at the same place, are those of different messages. Where one is not known, they may
/// be the same.
pub fn is_another(told: Option<Uuid>, found: Option<Uuid>) -> bool {
    told.zip(found).is_some_and(|(told, found)| told != found) && !faults::is(Fault::SeamUnchecked)
}

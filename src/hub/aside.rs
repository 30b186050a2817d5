//! What is told one stream alone: rejections, and answers to messages that were sent before.

use std::collections::VecDeque;

use bytes::Bytes;
use uuid::Uuid;

/// Frames for one stream alone may wait for it up to so many bytes; a client that has not read more than that
/// does not read.
const ASIDE_BYTES: usize = 64 * 1024;

/// But so many frames may always wait, however long they are: a client that comes back sends again all that was not
/// answered, and the answers come at once.
const ASIDE_FRAMES: usize = 64;

/// What a frame takes beside its bytes.
const FRAME_BYTES: usize = 128;

/// Frames for one stream alone.
#[derive(Debug)]
pub(super) struct Alone {
    pub(super) frames: Bytes,
    /// The message that they tell again: only if the log has told it already.
    pub(super) repeats: Option<i64>,
    /// The message of the stream's own that they answer.
    pub(super) answers: Option<Uuid>,
}

/// The frames that wait for one stream alone.
#[derive(Debug, Default)]
pub(super) struct Aside {
    waiting: VecDeque<Alone>,
    bytes: usize,
}

impl Aside {
    pub(super) fn push(&mut self, alone: Alone) {
        self.bytes += alone.frames.len() + FRAME_BYTES;
        self.waiting.push_back(alone);
    }

    pub(super) fn pop(&mut self) -> Option<Alone> {
        let alone = self.waiting.pop_front()?;
        self.bytes -= alone.frames.len() + FRAME_BYTES;
        Some(alone)
    }

    pub(super) fn is_too_much(&self) -> bool {
        self.bytes > ASIDE_BYTES && self.waiting.len() > ASIDE_FRAMES
    }
}

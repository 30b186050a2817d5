//! Frames for one stream alone: rejections, and answers to messages that were stored before.

use std::collections::VecDeque;

use bytes::Bytes;
use uuid::Uuid;

use crate::model::Seq;

/// A stream ends when more than this many bytes and more than [`MIN_FRAMES`] frames wait for it: its client does not read.
const MAX_BYTES: usize = 64 * 1024;

/// This many frames may always wait, however long they are: a client that resumes sends again all messages that were not
/// answered, and their answers come at once.
const MIN_FRAMES: usize = 64;

/// Memory that an entry takes beside its frames.
const OVERHEAD_BYTES: usize = 128;

/// Frames for one stream alone.
#[derive(Debug)]
pub(super) struct DirectFrames {
    pub(super) frames: Bytes,
    /// The message of the log that they copy. They are sent only if the stream has gone past it.
    pub(super) copy_of: Option<Seq>,
    /// The message of the stream's own that they answer.
    pub(super) answers: Option<Uuid>,
}

/// The frames that wait for one stream alone.
#[derive(Debug, Default)]
pub(super) struct DirectQueue {
    queue: VecDeque<DirectFrames>,
    bytes: usize,
}

impl DirectQueue {
    pub(super) fn push(&mut self, direct: DirectFrames) {
        self.bytes += direct.frames.len() + OVERHEAD_BYTES;
        self.queue.push_back(direct);
    }

    pub(super) fn pop(&mut self) -> Option<DirectFrames> {
        let direct = self.queue.pop_front()?;
        self.bytes -= direct.frames.len() + OVERHEAD_BYTES;
        Some(direct)
    }

    /// Says whether more waits than may.
    pub(super) fn is_over_limit(&self) -> bool {
        self.bytes > MAX_BYTES && self.queue.len() > MIN_FRAMES
    }
}

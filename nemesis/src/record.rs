//! What everybody does and sees, as it happens.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use grpcchatter_nemesis::{Entry, Event};
use tokio::sync::watch;

/// The record of one round, and what those who run it must know of it.
#[derive(Debug)]
pub(crate) struct Record {
    events: std::sync::Mutex<Vec<Event>>,
    progress: watch::Sender<Progress>,
    numbers: AtomicUsize,
}

/// How far everybody is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The newest acknowledged place of each room.
    pub(crate) acknowledged: BTreeMap<usize, i64>,
    /// The room and the newest place of each reader.
    pub(crate) readers: BTreeMap<usize, (usize, i64)>,
    /// How often a call was refused, by the reason that it was given.
    pub(crate) refusals: BTreeMap<String, usize>,
}

impl Record {
    /// Makes an empty record.
    pub(crate) fn new() -> Self {
        Self {
            events: std::sync::Mutex::default(),
            progress: watch::Sender::default(),
            numbers: AtomicUsize::new(1),
        }
    }

    /// Returns a number for a reader or a stream that no other has.
    pub(crate) fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes what happened.
    pub(crate) fn note(&self, event: Event) {
        self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event);
    }

    /// Notes an acknowledgement.
    pub(crate) fn acknowledged(&self, room: usize, id: &str, seq: i64, chat: Option<usize>) {
        self.note(Event::Acknowledged { id: id.to_owned(), seq, chat });
        self.progress.send_modify(|progress| {
            let newest = progress.acknowledged.entry(room).or_insert(0);
            *newest = (*newest).max(seq);
        });
    }

    /// Notes what a reader was told.
    pub(crate) fn received(&self, reader: usize, message: Entry) {
        let seq = message.seq;
        self.note(Event::Received { reader, message });
        self.progress.send_modify(|progress| {
            if let Some((_, newest)) = progress.readers.get_mut(&reader) {
                *newest = (*newest).max(seq);
            }
        });
    }

    /// Counts a reader in, who must see everything from here on.
    pub(crate) fn enter(&self, reader: usize, room: usize) {
        self.progress.send_modify(|progress| {
            progress.readers.entry(reader).or_insert((room, 0));
        });
    }

    /// Counts a reader out.
    pub(crate) fn leave(&self, reader: usize) {
        self.note(Event::Left { reader });
        self.progress.send_modify(|progress| {
            progress.readers.remove(&reader);
        });
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, status: &tonic::Status) {
        let reason = format!("{:?}: {}", status.code(), status.message());
        self.progress.send_modify(|progress| *progress.refusals.entry(reason).or_insert(0) += 1);
    }

    /// Returns how far everybody is, and what tells of more.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Takes what happened.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

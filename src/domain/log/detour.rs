//! The way around what another transaction holds: a room, by an operator's or a frozen server's; an author's session, by
//! its end or its renewal.
//!
//! A lane passes over it, so that its other rooms go on. The messages go to the one writer that waits for locks, and
//! whatever comes for their room meanwhile goes behind them, so that its order stays.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{sync::mpsc, time::Instant};

use super::{BATCH, Job, QUEUE_MESSAGES, Told, append};
use crate::{
    model::{Error, RoomId},
    store::Lane,
};

/// How many messages of each room are on the detour. A room that is not here is written by its lane.
type Diverted = Arc<Mutex<HashMap<RoomId, usize>>>;

/// A message that waits, and when it must be answered.
type Waiting = (Job, Instant);

/// The end at which messages are put in. Clones share the detour.
#[derive(Clone)]
pub(super) struct Detour {
    jobs: mpsc::Sender<Waiting>,
    diverted: Diverted,
}

/// The writer at its other end.
pub(super) struct Waiter {
    lane: Lane,
    jobs: mpsc::Receiver<Waiting>,
    diverted: Diverted,
    told: Told,
}

/// Makes a detour over a lane that waits for locks.
pub(super) fn around(lane: Lane, told: Told) -> (Detour, Waiter) {
    let (sender, jobs) = mpsc::channel(QUEUE_MESSAGES);
    let diverted = Diverted::default();
    let detour = Detour { jobs: sender, diverted: Arc::clone(&diverted) };
    (detour, Waiter { lane, jobs, diverted, told })
}

impl Detour {
    /// Takes what belongs behind messages that wait for their room, and returns the rest.
    pub(super) fn divert(&self, batch: Vec<Job>, deadline: Instant, told: &Told) -> Vec<Job> {
        let (behind, rest): (Vec<Job>, Vec<Job>) = {
            let diverted = self.diverted.lock();
            if diverted.is_empty() {
                return batch;
            }
            batch.into_iter().partition(|job| diverted.contains_key(&job.draft.identity.room))
        };
        self.take(behind, deadline, told);
        rest
    }

    /// Takes messages whose room or session is held. Where too many wait already, they are refused.
    pub(super) fn take(&self, jobs: Vec<Job>, deadline: Instant, told: &Told) {
        for job in jobs {
            let room = job.draft.identity.room;
            // Counted first: the waiter may be done with it before this goes on.
            *self.diverted.lock().entry(room).or_default() += 1;
            if let Err(error) = self.jobs.try_send((job, deadline)) {
                leave(&self.diverted, room, 1);
                told.answer(error.into_inner().0, Err(Error::Overloaded));
            }
        }
    }
}

/// Takes messages off the count; with its last one a room goes back to its lane.
fn leave(diverted: &Diverted, room: RoomId, count: usize) {
    let mut diverted = diverted.lock();
    if let Some(waiting) = diverted.get_mut(&room) {
        *waiting -= count;
        if *waiting == 0 {
            diverted.remove(&room);
        }
    }
}

impl Waiter {
    /// Appends room by room, in the order in which they came, until every lane has ended.
    pub(super) async fn run(mut self) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let Some(job) = self.jobs.recv().await else { return };
                waiting.push_back(job);
            }
            // What does not fit waits in the channel, which is full in the end.
            while waiting.len() < QUEUE_MESSAGES
                && let Ok(job) = self.jobs.try_recv()
            {
                waiting.push_back(job);
            }
            self.append_first(&mut waiting).await;
        }
    }

    /// Appends what waits for the room that has waited longest. Where its lock does not come in time, that is
    /// refused; whoever sends again is behind the other rooms.
    async fn append_first(&mut self, waiting: &mut VecDeque<Waiting>) {
        let Some(room) = waiting.front().map(|(job, _)| job.draft.identity.room) else { return };
        let (mut batch, mut late, mut first_deadline, now) = (Vec::new(), Vec::new(), None, Instant::now());
        for (job, deadline) in std::mem::take(waiting) {
            if job.draft.identity.room != room || batch.len() == BATCH {
                waiting.push_back((job, deadline));
            } else if deadline <= now {
                late.push(job);
            } else {
                first_deadline.get_or_insert(deadline);
                batch.push(job);
            }
        }
        let count = batch.len() + late.len();
        for job in late {
            self.told.answer(job, Err(Error::DatabaseUnavailable));
        }
        if let Some(deadline) = first_deadline {
            // This lane waits for locks, so it leaves nothing unanswered.
            append(&mut self.lane, batch, deadline, &self.told).await;
        }
        leave(&self.diverted, room, count);
    }
}

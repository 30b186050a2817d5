//! The threads that hash, and what they share with those who wait.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::hasher::Hasher;
use crate::{
    fair_queue::{FairQueue, Ticket},
    metrics::PASSWORD_QUEUE_SECONDS,
    model::Payer,
};

/// How much nicer the threads are than the rest of the process. Beside a thread that wants all of a core, ten steps leave
/// a tenth of it: chat goes first, and a full queue is still worked off within the deadline of a request. With all
/// nineteen, or `SCHED_IDLE`, it would be a hundredth or less, and a busy chat would let nobody in.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

/// After so long without a password a thread gives its memory back.
const IDLE: Duration = Duration::from_secs(10);

/// What is done with a thread's memory once it is its turn. It is dropped undone where its place was given to another.
pub(super) type Job = Box<dyn FnOnce(&mut Hasher) + Send>;

/// The queue, before which the threads wait for jobs. Nothing is hashed, freed or answered under its lock.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queues: Queues,
    ended: bool,
}

/// Networks and accounts wait apart, and are served in turn: however many accounts set passwords of rooms, somebody else
/// finds a place to log in.
struct Queues {
    networks: FairQueue<Payer, (Instant, Job)>,
    accounts: FairQueue<Payer, (Instant, Job)>,
    /// Whose turn it is, where both have somebody.
    accounts_next: bool,
}

impl Queues {
    const fn of(&mut self, payer: Payer) -> &mut FairQueue<Payer, (Instant, Job)> {
        match payer {
            Payer::Network(_) => &mut self.networks,
            Payer::User(_) => &mut self.accounts,
        }
    }

    fn take(&mut self) -> Option<(Instant, Job)> {
        let Self { networks, accounts, accounts_next } = self;
        let (first, second) = if *accounts_next { (accounts, networks) } else { (networks, accounts) };
        *accounts_next = !*accounts_next;
        first.take().or_else(|| second.take())
    }
}

/// What a thread does next.
enum Next {
    Job(Instant, Job),
    Idle,
    End,
}

impl Shared {
    /// Makes a queue for each kind of payer, with so many places.
    pub(super) fn new(networks: usize, accounts: usize) -> Arc<Self> {
        let (networks, accounts) = (FairQueue::new(networks), FairQueue::new(accounts));
        let queues = Queues { networks, accounts, accounts_next: false };
        let state = Mutex::new(State { queues, ended: false });
        Arc::new(Self { state, changed: Condvar::new() })
    }

    /// Starts a thread. It ends after [`Self::end`].
    pub(super) fn start(self: &Arc<Self>, index: usize) -> io::Result<()> {
        let shared = Arc::clone(self);
        thread::Builder::new().name(format!("passwords-{index}")).spawn(move || shared.work())?;
        Ok(())
    }

    /// Ends the threads, each after the job that it is at.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    /// Takes a place, where there is one.
    pub(super) fn admit(&self, payer: Payer, share: usize) -> Option<Ticket> {
        // What is displaced answers its caller when it is dropped, after the lock.
        let admitted = self.state.lock().queues.of(payer).admit(payer, share);
        admitted.map(|(ticket, _displaced)| ticket)
    }

    /// Puts a job on its place. Drops it where the place is another's by now.
    pub(super) fn submit(&self, payer: Payer, ticket: Ticket, job: Job) {
        let submitted = self.state.lock().queues.of(payer).submit(payer, ticket, (Instant::now(), job));
        if submitted.is_ok() {
            self.changed.notify_one();
        }
    }

    /// Frees a place, unless its job has begun.
    pub(super) fn leave(&self, payer: Payer, ticket: Ticket) {
        let left = self.state.lock().queues.of(payer).leave(payer, ticket);
        drop(left);
    }

    fn work(&self) {
        #[cfg(target_os = "linux")]
        lower_priority();
        let mut hasher = Hasher::default();
        loop {
            match self.next(hasher.is_warm().then_some(IDLE)) {
                Next::Job(since, job) => {
                    PASSWORD_QUEUE_SECONDS.observe_duration(since.elapsed());
                    job(&mut hasher);
                }
                Next::Idle => hasher.cool(),
                Next::End => return,
            }
        }
    }

    /// Awaits the next job, for no longer than `patience` where there is one.
    fn next(&self, patience: Option<Duration>) -> Next {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return Next::End;
            }
            if let Some((since, job)) = state.queues.take() {
                return Next::Job(since, job);
            }
            match patience {
                None => self.changed.wait(&mut state),
                Some(patience) => {
                    if self.changed.wait_for(&mut state, patience).timed_out() {
                        return Next::Idle;
                    }
                }
            }
        }
    }
}

/// Has this thread go behind the others of the process. Linux counts niceness for each thread; elsewhere it is the
/// process's.
#[cfg(target_os = "linux")]
fn lower_priority() {
    use rustix::process::{getpriority_process, setpriority_process};

    let lowered =
        getpriority_process(None).and_then(|nice| setpriority_process(None, (nice + NICER).min(19)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "a thread that hashes passwords keeps the priority of the others");
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    /// Reads this thread's niceness, the 19th field; the second, its name, is in brackets.
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, after_name) = stat.rsplit_once(')').unwrap();
        after_name.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_thread_that_asks_is_lowered() {
        let before = niceness();
        let lowered = thread::spawn(|| {
            lower_priority();
            niceness()
        });
        assert_eq!(lowered.join().unwrap(), (before + NICER).min(19));
        assert_eq!(niceness(), before);
    }
}

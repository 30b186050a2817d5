//! The hashing threads and their queue.

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

/// Nice increment of the threads. Beside a thread that uses a whole core, 10 steps leave a tenth of it: chat goes first,
/// and a full queue is still finished within the deadline of a request. With 19, or `SCHED_IDLE`, it would be a hundredth
/// or less, and nobody could log in to a busy chat.
#[cfg(target_os = "linux")]
const NICE_INCREMENT: i32 = 10;

/// A thread without a job for this time releases its memory.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Work for a thread. It is dropped without being run if its slot was given to another payer.
pub(super) type Job = Box<dyn FnOnce(&mut Hasher) + Send>;

/// The queue, which the threads share. No job is run, dropped or answered under its lock.
pub(super) struct Workers {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queues: Queues,
    ended: bool,
}

/// Networks and accounts have queues of their own, which are served alternately. So a log-in, which is charged to a
/// network, finds a slot however many accounts set passwords of rooms.
struct Queues {
    networks: FairQueue<Payer, (Instant, Job)>,
    accounts: FairQueue<Payer, (Instant, Job)>,
    /// Whether accounts are served next, if both have jobs.
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

/// The next step of a thread.
enum Next {
    Job(Instant, Job),
    Idle,
    End,
}

impl Workers {
    /// Makes the two queues with these lengths.
    pub(super) fn new(networks: usize, accounts: usize) -> Arc<Self> {
        let (networks, accounts) = (FairQueue::new(networks), FairQueue::new(accounts));
        let queues = Queues { networks, accounts, accounts_next: false };
        let state = Mutex::new(State { queues, ended: false });
        Arc::new(Self { state, changed: Condvar::new() })
    }

    /// Starts a thread. It ends after [`Self::end`].
    pub(super) fn start_thread(self: &Arc<Self>, index: usize) -> io::Result<()> {
        let shared = Arc::clone(self);
        thread::Builder::new().name(format!("passwords-{index}")).spawn(move || shared.work())?;
        Ok(())
    }

    /// Ends the threads, each after its current job.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    /// Takes a slot, if there is one.
    pub(super) fn admit(&self, payer: Payer, max_per_payer: usize) -> Option<Ticket> {
        // A displaced job answers its caller when it is dropped, after the lock is released.
        let admitted = self.state.lock().queues.of(payer).admit(payer, max_per_payer);
        admitted.map(|(ticket, _displaced)| ticket)
    }

    /// Queues the job of a slot. Drops the job if the slot was given to another payer.
    pub(super) fn submit(&self, payer: Payer, ticket: Ticket, job: Job) {
        let submitted = self.state.lock().queues.of(payer).submit(payer, ticket, (Instant::now(), job));
        if submitted.is_ok() {
            self.changed.notify_one();
        }
    }

    /// Frees a slot, unless its job has begun.
    pub(super) fn leave(&self, payer: Payer, ticket: Ticket) {
        let left = self.state.lock().queues.of(payer).leave(payer, ticket);
        drop(left);
    }

    fn work(&self) {
        #[cfg(target_os = "linux")]
        lower_priority();
        let mut hasher = Hasher::default();
        loop {
            match self.next(hasher.holds_memory().then_some(IDLE_TIMEOUT)) {
                Next::Job(since, job) => {
                    PASSWORD_QUEUE_SECONDS.observe_duration(since.elapsed());
                    job(&mut hasher);
                }
                Next::Idle => hasher.release_memory(),
                Next::End => return,
            }
        }
    }

    /// Waits for the next job, up to `idle_timeout` if there is one.
    fn next(&self, idle_timeout: Option<Duration>) -> Next {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return Next::End;
            }
            if let Some((since, job)) = state.queues.take() {
                return Next::Job(since, job);
            }
            match idle_timeout {
                None => self.changed.wait(&mut state),
                Some(idle_timeout) => {
                    if self.changed.wait_for(&mut state, idle_timeout).timed_out() {
                        return Next::Idle;
                    }
                }
            }
        }
    }
}

/// Lowers the priority of this thread. On Linux each thread has its own niceness; elsewhere the process has one.
#[cfg(target_os = "linux")]
fn lower_priority() {
    use rustix::process::{getpriority_process, setpriority_process};

    let lowered =
        getpriority_process(None).and_then(|nice| setpriority_process(None, (nice + NICE_INCREMENT).min(19)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "a thread that hashes passwords keeps the priority of the others");
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    /// Reads this thread's niceness, the 19th field. The second field, its name, is in parentheses.
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, after_name) = stat.rsplit_once(')').unwrap();
        after_name.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_calling_thread_is_lowered() {
        let before = niceness();
        let lowered = thread::spawn(|| {
            lower_priority();
            niceness()
        });
        assert_eq!(lowered.join().unwrap(), (before + NICE_INCREMENT).min(19));
        assert_eq!(niceness(), before);
    }
}

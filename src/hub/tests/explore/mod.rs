//! Runs threads one step at a time, under many schedules.
//!
//! Only one thread runs at any moment. Before each lock ([`step`]), and wherever it must wait, it yields to the one that the
//! schedule names. So a schedule is a list of choices: it can be repeated, and the next one found. A schedule fails
//! if a thread panics, or if all threads wait: for each other's locks, or for a wake-up that was lost.
//!
//! By default a thread runs until it must wait, and then the first ready thread runs. Every schedule that departs from this at
//! most [`Limits::delays`] times is run (delay bounding: Emmi, Qadeer, Rakamarić, POPL 2011), and then random ones.
//!
//! loom and shuttle do not serve because their locks panic outside of a model, so the hub would need a second build for
//! them. Here all other tests run in the same build, where the hub's mutex is the real one.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

/// Threads to run, and what must hold once they are done.
pub(super) struct Scenario {
    pub(super) threads: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) end: Box<dyn FnOnce()>,
}

/// Which schedules to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// All schedules with at most this many delays: choices other than the default.
    pub(super) delays: usize,
    /// This many random schedules.
    pub(super) random: u64,
}

/// Runs a scenario under each schedule, and returns how many there were.
///
/// # Errors
/// The first failure, and its schedule.
pub(super) fn explore(limits: Limits, scenario: impl Fn() -> Scenario) -> Result<usize, String> {
    let (mut path, mut tried) = (Vec::new(), 0);
    loop {
        let schedule = Schedule { path, at: 0, delays_left: limits.delays, random: None };
        let (schedule, outcome) = run(schedule, scenario());
        outcome.map_err(|error| format!("{error}, in schedule {tried}: {:?}", schedule.choices()))?;
        tried += 1;
        path = schedule.path;
        if !advance(&mut path) {
            break;
        }
    }
    for seed in 1..=limits.random {
        let schedule = Schedule {
            path: Vec::new(),
            at: 0,
            delays_left: usize::MAX,
            random: Some(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        run(schedule, scenario()).1.map_err(|error| format!("{error}, in the schedule of seed {seed}"))?;
        tried += 1;
    }
    Ok(tried)
}

/// Changes a path to that of the next schedule. Returns false after the last.
fn advance(path: &mut Vec<(usize, usize)>) -> bool {
    while let Some((chosen, options)) = path.last_mut() {
        if *chosen + 1 < *options {
            *chosen += 1;
            return true;
        }
        path.pop();
    }
    false
}

/// Which thread runs after each yield.
#[derive(Default)]
struct Schedule {
    /// For each choice, the option that was chosen and how many there were.
    path: Vec<(usize, usize)>,
    at: usize,
    delays_left: usize,
    /// State of Marsaglia's xorshift64, for a random schedule.
    random: Option<u64>,
}

impl Schedule {
    /// Chooses one of the ready threads. By default it is `me`, the one that yields, if that is ready.
    fn choose(&mut self, ready: &[usize], me: Option<usize>) -> usize {
        let mut options: Vec<usize> = me.into_iter().collect();
        options.extend(ready.iter().filter(|thread| Some(**thread) != me));
        if self.delays_left == 0 {
            options.truncate(1);
        }
        let chosen = match &mut self.random {
            Some(random) => {
                *random ^= *random << 13;
                *random ^= *random >> 7;
                *random ^= *random << 17;
                // Long runs and short ones: some stretches switch threads often, others hardly ever.
                let stays = me.is_some() && *random >> 32 & 7 < *random >> 60 & 7;
                if stays { 0 } else { (*random >> 8) as usize % options.len() }
            }
            None => {
                if self.at == self.path.len() {
                    self.path.push((0, options.len()));
                }
                self.path[self.at].0.min(options.len() - 1)
            }
        };
        self.at += 1;
        if chosen > 0 {
            self.delays_left -= 1;
        }
        options[chosen]
    }

    /// Returns the choices that were not the default, each with its index.
    fn choices(&self) -> Vec<(usize, usize)> {
        let chosen = self.path.iter().map(|(chosen, _)| *chosen).enumerate();
        chosen.filter(|(_, chosen)| *chosen > 0).collect()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum ThreadState {
    Ready,
    /// Waits for the lock at this address.
    Blocked(usize),
    /// Waits to be woken.
    Asleep,
    Done,
}

/// Switches between the threads of one run.
struct Scheduler {
    state: Mutex<State>,
    switched: Condvar,
}

struct State {
    threads: Vec<ThreadState>,
    current: usize,
    schedule: Schedule,
    failure: Option<String>,
    /// Whether all threads must unwind because one has failed. It may need locks that they hold.
    stopped: bool,
}

thread_local! {
    /// The scheduler of an explored thread, and the thread's index.
    static CURRENT: RefCell<Option<(Arc<Scheduler>, usize)>> = const { RefCell::new(None) };
}

/// The panic payload that unwinds the other threads once one has failed.
struct Stopped;

fn run(schedule: Schedule, scenario: Scenario) -> (Schedule, Result<(), String>) {
    let threads = vec![ThreadState::Ready; scenario.threads.len()];
    let state = State { threads, current: usize::MAX, schedule, failure: None, stopped: false };
    let scheduler = Arc::new(Scheduler { state: Mutex::new(state), switched: Condvar::new() });
    scheduler.state().choose_next(None);
    thread::scope(|scope| {
        for (me, act) in scenario.threads.into_iter().enumerate() {
            let scheduler = Arc::clone(&scheduler);
            scope.spawn(move || {
                CURRENT.set(Some((Arc::clone(&scheduler), me)));
                let acted = catch_unwind(AssertUnwindSafe(|| {
                    scheduler.wait_until_named(me);
                    act();
                }));
                let mut state = scheduler.state();
                if let Err(panic) = acted
                    && !panic.is::<Stopped>()
                {
                    let message = panic.downcast_ref::<String>().cloned();
                    let message =
                        message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                    state.failure.get_or_insert(message.unwrap_or_default());
                    state.stopped = true;
                }
                state.threads[me] = ThreadState::Done;
                if state.current == me {
                    state.choose_next(None);
                }
                drop(state);
                scheduler.switched.notify_all();
                CURRENT.set(None);
            });
        }
    });
    let mut state = scheduler.state();
    let schedule = std::mem::take(&mut state.schedule);
    let outcome = match state.failure.take() {
        Some(failure) => Err(failure),
        None => catch_unwind(AssertUnwindSafe(scenario.end)).map_err(|_| "the end state is wrong".to_owned()),
    };
    (schedule, outcome)
}

impl State {
    fn choose_next(&mut self, me: Option<usize>) {
        let is_ready = |thread: &usize| self.threads[*thread] == ThreadState::Ready;
        let ready: Vec<usize> = (0..self.threads.len()).filter(is_ready).collect();
        if !ready.is_empty() {
            self.current = self.schedule.choose(&ready, me);
        } else if self.threads.iter().any(|thread| *thread != ThreadState::Done) {
            self.failure.get_or_insert_with(|| "all threads wait".to_owned());
            self.stopped = true;
        }
    }
}

impl Scheduler {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Yields, and returns once the schedule names this thread again.
    fn yield_now(&self, mut state: MutexGuard<'_, State>, me: usize) {
        let is_ready = state.threads[me] == ThreadState::Ready;
        state.choose_next(is_ready.then_some(me));
        drop(state);
        self.switched.notify_all();
        self.wait_until_named(me);
    }

    fn wait_until_named(&self, me: usize) {
        let waits = |state: &mut State| state.current != me && !state.stopped;
        let state = self.switched.wait_while(self.state(), waits).unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            drop(state);
            // Without the panic hook: the first panic has printed its message.
            std::panic::resume_unwind(Box::new(Stopped));
        }
    }
}

/// Acts on the scheduler, if this thread is explored and nothing has failed yet.
fn on_scheduler<T>(act: impl FnOnce(&Arc<Scheduler>, usize) -> T) -> Option<T> {
    let (scheduler, me) = CURRENT.with_borrow(Clone::clone)?;
    if thread::panicking() {
        scheduler.state().stopped = true;
        scheduler.switched.notify_all();
        return None;
    }
    Some(act(&scheduler, me))
}

/// Lets another thread run here.
pub(in crate::hub) fn step() {
    on_scheduler(|scheduler, me| scheduler.yield_now(scheduler.state(), me));
}

/// Waits until a lock is released. Returns false if this thread is not explored.
pub(in crate::hub) fn blocked(lock: usize) -> bool {
    on_scheduler(|scheduler, me| {
        let mut state = scheduler.state();
        state.threads[me] = ThreadState::Blocked(lock);
        scheduler.yield_now(state, me);
    })
    .is_some()
}

/// Notes that a lock was released.
pub(in crate::hub) fn unlocked(lock: usize) {
    on_scheduler(|scheduler, _| {
        for thread in &mut scheduler.state().threads {
            if *thread == ThreadState::Blocked(lock) {
                *thread = ThreadState::Ready;
            }
        }
    });
}

/// The waker of one thread.
struct ThreadWaker {
    scheduler: Arc<Scheduler>,
    thread: usize,
    is_woken: AtomicBool,
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        let mut state = self.scheduler.state();
        self.is_woken.store(true, Ordering::Relaxed);
        if state.threads[self.thread] == ThreadState::Asleep {
            state.threads[self.thread] = ThreadState::Ready;
        }
    }
}

/// Polls until there is an answer, and sleeps in between until it is woken.
pub(super) fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let (scheduler, me) = CURRENT.with_borrow(Clone::clone).expect("a thread that is explored");
    let waker =
        ThreadWaker { scheduler: Arc::clone(&scheduler), thread: me, is_woken: AtomicBool::new(false) };
    let thread = Arc::new(waker);
    let waker = Waker::from(Arc::clone(&thread));
    loop {
        if let Poll::Ready(answer) = poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        let mut state = scheduler.state();
        if !thread.is_woken.load(Ordering::Relaxed) {
            state.threads[me] = ThreadState::Asleep;
        }
        scheduler.yield_now(state, me);
        thread.is_woken.store(false, Ordering::Relaxed);
    }
}

mod tests;

//! Runs threads one step at a time, in every order that is asked for.
//!
//! Only one of the threads runs at any moment. Before each lock ([`step`]), and wherever it must wait, it hands on to
//! the one that the schedule names. So a schedule is a list of choices: it can be repeated, and the next one found. It
//! is an error where a thread panics, and where all wait: for each other's locks, or for a wake-up that was lost.
//!
//! A thread runs on while it can, and then the first that can takes over. Looked through are all schedules that depart from
//! that so many times at most (delay bounding: Emmi, Qadeer, Rakamarić, POPL 2011), and then others at random.

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

/// What the threads of a scenario do; and what must hold when they are done.
pub(super) struct Scenario {
    pub(super) threads: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) end: Box<dyn FnOnce()>,
}

/// How far to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// All schedules with so many departures, at most.
    pub(super) departures: usize,
    /// So many schedules at random.
    pub(super) random: u64,
}

/// Runs a scenario in each schedule, and says how many there were.
///
/// # Errors
/// What went wrong first, and in which schedule.
pub(super) fn explore(extent: Extent, scenario: impl Fn() -> Scenario) -> Result<usize, String> {
    let (mut path, mut tried) = (Vec::new(), 0);
    loop {
        let schedule = Schedule { path, at: 0, left: extent.departures, chance: None };
        let (schedule, outcome) = run(schedule, scenario());
        outcome.map_err(|error| format!("{error}, in schedule {tried}: {:?}", schedule.choices()))?;
        tried += 1;
        path = schedule.path;
        if !advance(&mut path) {
            break;
        }
    }
    for seed in 1..=extent.random {
        let schedule = Schedule {
            path: Vec::new(),
            at: 0,
            left: usize::MAX,
            chance: Some(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        run(schedule, scenario()).1.map_err(|error| format!("{error}, in the schedule of seed {seed}"))?;
        tried += 1;
    }
    Ok(tried)
}

/// Moves on to the next schedule; false after the last.
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

/// Who goes on at each hand-over.
#[derive(Default)]
struct Schedule {
    /// Which option was chosen, of how many.
    path: Vec<(usize, usize)>,
    at: usize,
    /// How many departures are left.
    left: usize,
    /// Marsaglia's xorshift64, where it is drawn.
    chance: Option<u64>,
}

impl Schedule {
    /// Chooses one of those who can go on; `me` is who would go on by itself.
    fn choose(&mut self, ready: &[usize], me: Option<usize>) -> usize {
        let mut options: Vec<usize> = me.into_iter().collect();
        options.extend(ready.iter().filter(|thread| Some(**thread) != me));
        if self.left == 0 {
            options.truncate(1);
        }
        let chosen = match &mut self.chance {
            Some(chance) => {
                *chance ^= *chance << 13;
                *chance ^= *chance >> 7;
                *chance ^= *chance << 17;
                // Long runs and short ones: some schedules hand over often, others hardly ever.
                let stays = me.is_some() && *chance >> 32 & 7 < *chance >> 60 & 7;
                if stays { 0 } else { (*chance >> 8) as usize % options.len() }
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
            self.left -= 1;
        }
        options[chosen]
    }

    /// Returns the choices that were not the first option, by their place.
    fn choices(&self) -> Vec<(usize, usize)> {
        let chosen = self.path.iter().map(|(chosen, _)| *chosen).enumerate();
        chosen.filter(|(_, chosen)| *chosen > 0).collect()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Ready,
    /// Waits for the lock at this address.
    Blocked(usize),
    /// Waits to be woken.
    Asleep,
    Done,
}

/// Where the threads of one run hand on to each other.
struct Stage {
    state: Mutex<State>,
    turn: Condvar,
}

struct State {
    threads: Vec<Standing>,
    current: usize,
    schedule: Schedule,
    failure: Option<String>,
    /// Whether all are to unwind, since one has failed: it may need locks that they hold.
    stopped: bool,
}

thread_local! {
    static SEAT: RefCell<Option<(Arc<Stage>, usize)>> = const { RefCell::new(None) };
}

/// What unwinds the other threads once one has failed.
struct Stopped;

fn run(schedule: Schedule, scenario: Scenario) -> (Schedule, Result<(), String>) {
    let threads = vec![Standing::Ready; scenario.threads.len()];
    let state = State { threads, current: usize::MAX, schedule, failure: None, stopped: false };
    let stage = Arc::new(Stage { state: Mutex::new(state), turn: Condvar::new() });
    stage.state().hand_on(None);
    thread::scope(|scope| {
        for (me, act) in scenario.threads.into_iter().enumerate() {
            let stage = Arc::clone(&stage);
            scope.spawn(move || {
                SEAT.set(Some((Arc::clone(&stage), me)));
                let acted = catch_unwind(AssertUnwindSafe(|| {
                    stage.wait_for_turn(me);
                    act();
                }));
                let mut state = stage.state();
                if let Err(panic) = acted
                    && !panic.is::<Stopped>()
                {
                    let said = panic.downcast_ref::<String>().cloned();
                    let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
                    state.failure.get_or_insert(said.unwrap_or_default());
                    state.stopped = true;
                }
                state.threads[me] = Standing::Done;
                if state.current == me {
                    state.hand_on(None);
                }
                drop(state);
                stage.turn.notify_all();
                SEAT.set(None);
            });
        }
    });
    let mut state = stage.state();
    let schedule = std::mem::take(&mut state.schedule);
    let outcome = match state.failure.take() {
        Some(failure) => Err(failure),
        None => catch_unwind(AssertUnwindSafe(scenario.end)).map_err(|_| "the end is wrong".to_owned()),
    };
    (schedule, outcome)
}

impl State {
    fn hand_on(&mut self, me: Option<usize>) {
        let is_ready = |thread: &usize| self.threads[*thread] == Standing::Ready;
        let ready: Vec<usize> = (0..self.threads.len()).filter(is_ready).collect();
        if !ready.is_empty() {
            self.current = self.schedule.choose(&ready, me);
        } else if self.threads.iter().any(|thread| *thread != Standing::Done) {
            self.failure.get_or_insert_with(|| "everybody waits".to_owned());
            self.stopped = true;
        }
    }
}

impl Stage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on, and returns when it is this thread's turn again.
    fn hand_on(&self, mut state: MutexGuard<'_, State>, me: usize, goes_on: bool) {
        state.hand_on(goes_on.then_some(me));
        drop(state);
        self.turn.notify_all();
        self.wait_for_turn(me);
    }

    fn wait_for_turn(&self, me: usize) {
        let waits = |state: &mut State| state.current != me && !state.stopped;
        let state = self.turn.wait_while(self.state(), waits).unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            drop(state);
            // Without the hook: the first panic has said all there is to say.
            std::panic::resume_unwind(Box::new(Stopped));
        }
    }
}

/// Acts on the stage, where this thread is explored and nothing has failed yet.
fn on_stage<T>(act: impl FnOnce(&Arc<Stage>, usize) -> T) -> Option<T> {
    let (stage, me) = SEAT.with_borrow(Clone::clone)?;
    if thread::panicking() {
        stage.state().stopped = true;
        stage.turn.notify_all();
        return None;
    }
    Some(act(&stage, me))
}

/// Lets another thread go on here.
pub(super) fn step() {
    on_stage(|stage, me| stage.hand_on(stage.state(), me, true));
}

/// Waits until a lock is let go. Says false where this thread is not explored.
pub(super) fn blocked(lock: usize) -> bool {
    on_stage(|stage, me| {
        let mut state = stage.state();
        state.threads[me] = Standing::Blocked(lock);
        stage.hand_on(state, me, false);
    })
    .is_some()
}

/// Notes that a lock was let go.
pub(super) fn unlocked(lock: usize) {
    on_stage(|stage, _| {
        for thread in &mut stage.state().threads {
            if *thread == Standing::Blocked(lock) {
                *thread = Standing::Ready;
            }
        }
    });
}

/// Wakes one thread.
struct Alarm {
    stage: Arc<Stage>,
    thread: usize,
    rung: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        let mut state = self.stage.state();
        self.rung.store(true, Ordering::Relaxed);
        if state.threads[self.thread] == Standing::Asleep {
            state.threads[self.thread] = Standing::Ready;
        }
    }
}

/// Polls until there is an answer; sleeps in between until it is woken.
pub(super) fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let (stage, me) = SEAT.with_borrow(Clone::clone).expect("a thread that is explored");
    let alarm = Arc::new(Alarm { stage: Arc::clone(&stage), thread: me, rung: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&alarm));
    loop {
        if let Poll::Ready(answer) = poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        let mut state = stage.state();
        if alarm.rung.load(Ordering::Relaxed) {
            stage.hand_on(state, me, true);
        } else {
            state.threads[me] = Standing::Asleep;
            stage.hand_on(state, me, false);
        }
        alarm.rung.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;

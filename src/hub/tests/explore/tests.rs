//! The exploration finds races, deadlocks and lost wake-ups.

use std::panic::panic_any;

use super::*;
use crate::hub::sync;

const LIMITS: Limits = Limits { delays: 1, random: 100 };

/// How a thread adds to a number.
#[derive(Clone, Copy)]
enum Add {
    UnderOneLock,
    ReadThenWrite,
}

/// Two threads that add one each.
fn adders(how: Add) -> Scenario {
    let number = Arc::new(sync::Mutex::new(0));
    let add = || -> Box<dyn FnOnce() + Send> {
        let number = Arc::clone(&number);
        Box::new(move || match how {
            Add::UnderOneLock => *number.lock() += 1,
            Add::ReadThenWrite => {
                let read = *number.lock();
                *number.lock() = read + 1;
            }
        })
    };
    let threads = vec![add(), add()];
    Scenario { threads, end: Box::new(move || assert_eq!(*number.lock(), 2)) }
}

#[test]
fn an_update_that_is_lost_between_two_locks_is_found() {
    assert!(explore(LIMITS, || adders(Add::UnderOneLock)).expect("nothing is lost") > 100);
    let lost = explore(LIMITS, || adders(Add::ReadThenWrite)).expect_err("one is lost");
    assert!(lost.starts_with("the end state is wrong"), "{lost}");
}

#[test]
fn a_thread_that_fails_ends_all_even_if_it_needs_a_lock_to_unwind() {
    struct Needs(Arc<sync::Mutex<()>>);
    impl Drop for Needs {
        fn drop(&mut self) {
            drop(self.0.lock());
        }
    }
    let scenario = || {
        let lock = Arc::new(sync::Mutex::new(()));
        let needs = Needs(Arc::clone(&lock));
        let fails = move || {
            let _needs = needs;
            panic_any("it fails");
        };
        let holds = move || {
            let _held = lock.lock();
            step();
            step();
        };
        Scenario { threads: vec![Box::new(holds), Box::new(fails)], end: Box::new(|| ()) }
    };
    assert!(explore(LIMITS, scenario).expect_err("it fails").starts_with("it fails"));
}

#[test]
fn locks_taken_in_two_orders_are_found() {
    let scenario = || {
        let locks = [(); 2].map(|()| Arc::new(sync::Mutex::new(())));
        let take = |first: usize, second: usize| -> Box<dyn FnOnce() + Send> {
            let (first, second) = (Arc::clone(&locks[first]), Arc::clone(&locks[second]));
            Box::new(move || {
                let _first = first.lock();
                drop(second.lock());
            })
        };
        Scenario { threads: vec![take(0, 1), take(1, 0)], end: Box::new(|| ()) }
    };
    let stuck = explore(LIMITS, scenario).expect_err("both wait");
    assert!(stuck.starts_with("all threads wait"), "{stuck}");
}

#[test]
fn a_wake_up_that_is_lost_is_found() {
    let scenario = |looks_again: bool| {
        move || {
            let shared = Arc::new(sync::Mutex::new((false, None::<Waker>)));
            let other = Arc::clone(&shared);
            let waits = move || {
                block_on(|context| {
                    if shared.lock().0 {
                        return Poll::Ready(());
                    }
                    let mut shared = shared.lock();
                    shared.1 = Some(context.waker().clone());
                    if looks_again && shared.0 { Poll::Ready(()) } else { Poll::Pending }
                });
            };
            let wakes = move || {
                let mut shared = other.lock();
                shared.0 = true;
                let waker = shared.1.take();
                drop(shared);
                if let Some(waker) = waker {
                    waker.wake();
                }
            };
            Scenario { threads: vec![Box::new(waits), Box::new(wakes)], end: Box::new(|| ()) }
        }
    };
    assert!(explore(LIMITS, scenario(true)).is_ok());
    let lost = explore(LIMITS, scenario(false)).expect_err("it sleeps for ever");
    assert!(lost.starts_with("all threads wait"), "{lost}");
}

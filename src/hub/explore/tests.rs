//! The mistakes that are to be found are found.

use std::panic::panic_any;

use super::*;
use crate::hub::sync;

const EXTENT: Extent = Extent { departures: 1, random: 100 };

/// Two threads that add one each, under one lock or by reading under one and writing under the next.
fn adders(together: bool) -> Scenario {
    let number = Arc::new(sync::Mutex::new(0));
    let add = || -> Box<dyn FnOnce() + Send> {
        let number = Arc::clone(&number);
        Box::new(move || {
            if together {
                *number.lock() += 1;
            } else {
                let read = *number.lock();
                *number.lock() = read + 1;
            }
        })
    };
    let threads = vec![add(), add()];
    Scenario { threads, end: Box::new(move || assert_eq!(*number.lock(), 2)) }
}

#[test]
fn what_is_lost_between_two_locks_is_found() {
    assert!(explore(EXTENT, || adders(true)).expect("nothing is lost") > 100);
    let lost = explore(EXTENT, || adders(false)).expect_err("one is lost");
    assert!(lost.starts_with("the end is wrong"), "{lost}");
}

#[test]
fn a_thread_that_fails_ends_all_even_where_it_needs_a_lock_to_unwind() {
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
    assert!(explore(EXTENT, scenario).expect_err("it fails").starts_with("it fails"));
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
    let stuck = explore(EXTENT, scenario).expect_err("both wait");
    assert!(stuck.starts_with("everybody waits"), "{stuck}");
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
    assert!(explore(EXTENT, scenario(true)).is_ok());
    let lost = explore(EXTENT, scenario(false)).expect_err("it sleeps for ever");
    assert!(lost.starts_with("everybody waits"), "{lost}");
}

//! The hub's mutex. In tests another thread may run before each lock: see `tests/explore`.

#[cfg(not(test))]
pub(super) use parking_lot::Mutex;

#[cfg(test)]
pub(super) use explored::Mutex;

#[cfg(test)]
mod explored {
    use std::ops::{Deref, DerefMut};

    use parking_lot::MutexGuard;

    use crate::hub::tests::explore;

    /// A `parking_lot::Mutex`; on a thread that is being explored, locking it is a step of the schedule.
    #[derive(Debug, Default)]
    pub(in crate::hub) struct Mutex<T>(parking_lot::Mutex<T>);

    #[derive(Debug)]
    pub(in crate::hub) struct Guard<'m, T> {
        /// Taken on drop, before the threads that wait for the lock become ready.
        guard: Option<MutexGuard<'m, T>>,
        lock: usize,
    }

    impl<T> Mutex<T> {
        pub(in crate::hub) const fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }

        pub(in crate::hub) fn lock(&self) -> Guard<'_, T> {
            let lock = std::ptr::from_ref(&self.0).addr();
            explore::step();
            let guard = loop {
                if let Some(guard) = self.0.try_lock() {
                    break guard;
                }
                if !explore::blocked(lock) {
                    break self.0.lock();
                }
            };
            Guard { guard: Some(guard), lock }
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.guard.as_ref().expect("held until it is dropped")
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.guard.as_mut().expect("held until it is dropped")
        }
    }

    impl<T> Drop for Guard<'_, T> {
        fn drop(&mut self) {
            self.guard = None;
            explore::unlocked(self.lock);
        }
    }
}

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Guard,
    guesses::{SOON, Turn},
    hold,
    ledger::{Guesser, Terms},
};
use crate::model::{Error, Result};

/// How long a password waits for others of its kind to be answered.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A password that is being tried. Dropped without a word, it was not answered and does not count.
#[must_use = "say whether the password was right"]
pub struct Attempt {
    guard: Guard,
    terms: Terms,
}

impl Attempt {
    /// Waits for the turn of one, where others that are being tried hold it up.
    pub(super) async fn begin(guard: &Guard, terms: Terms) -> Result<Self> {
        let limit = guard.0.config.guesses_per_hour;
        let begin = || hold(&guard.0.ledger).begin(&terms, guard.0.clock.elapsed(), limit);
        if begin()? == Turn::Later {
            let _waiting = Waiting::of(guard, &terms)?;
            let waits = async {
                loop {
                    // Before it asks, so that no answer in between is missed.
                    let answered = guard.0.answered.notified();
                    if begin()? == Turn::Now {
                        return Ok(());
                    }
                    answered.await;
                }
            };
            timeout(LONGEST_WAIT, waits).await.unwrap_or(Err(Error::RateLimited { retry_after: SOON }))?;
        }
        Ok(Self { guard: guard.clone(), terms })
    }

    /// An attempt that nothing is asked of, where there are no limits.
    pub(super) fn free(guard: &Guard) -> Self {
        Self { guard: guard.clone(), terms: Terms::default() }
    }

    /// The password was wrong.
    pub fn failed(self) {
        let inner = &self.guard.0;
        hold(&inner.ledger).failed(&self.terms, inner.clock.elapsed());
    }

    /// The password was right: the target answers at once again here.
    pub fn succeeded(self) {
        let inner = &self.guard.0;
        hold(&inner.ledger).succeeded(&self.terms, inner.clock.elapsed());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        hold(&self.guard.0.ledger).end(&self.terms);
        self.guard.0.answered.notify_waiters();
    }
}

/// Somebody who waits for a turn. Their number is bounded, since each answer wakes them all.
struct Waiting<'a> {
    guard: &'a Guard,
    queue: Option<Guesser>,
}

impl<'a> Waiting<'a> {
    fn of(guard: &'a Guard, terms: &Terms) -> Result<Self> {
        let queue = terms.queue();
        if queue.is_none_or(|queue| hold(&guard.0.ledger).queue(queue)) {
            Ok(Self { guard, queue })
        } else {
            Err(Error::RateLimited { retry_after: SOON })
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue {
            hold(&self.guard.0.ledger).leave_queue(queue);
        }
    }
}

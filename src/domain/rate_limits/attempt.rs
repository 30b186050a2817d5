//! One attempt at a password or short code: admitted, then reported as right or wrong.

use std::{net::IpAddr, time::Duration};

use tokio::time::timeout;

use super::{
    guess_counts::{GuessChecks, Guesser},
    guess_target::GuessTarget,
    guess_window::{Admission, RETRY_SOON},
    limits::{RateLimits, lock},
};
use crate::model::{Error, Result};

/// How long an attempt waits for others to be answered.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(5);

/// A password or short code that is being tried. Dropping it without an outcome counts nothing.
#[must_use = "report whether the password was right"]
pub struct Attempt {
    limits: RateLimits,
    checks: GuessChecks,
}

impl RateLimits {
    /// Admits an attempt. The caller then reports its outcome.
    ///
    /// At most as many attempts run at once as may still be wrong within the hour, so guessing in parallel gains nothing.
    /// Further attempts wait until some of those are answered: one address may belong to many people who all know their
    /// passwords.
    ///
    /// # Errors
    /// [`Error::RateLimited`](crate::model::Error::RateLimited) where the address or the user has guessed wrong too often,
    /// or guessed wrong at this target a moment ago. Also where too many attempts wait, with a delay of one second.
    pub async fn guess(&self, address: IpAddr, target: GuessTarget<'_>) -> Result<Attempt> {
        if self.0.config.guesses_per_hour == 0 {
            return Ok(Attempt { limits: self.clone(), checks: GuessChecks::default() });
        }
        let checks = lock(&self.0.guesses).checks(address, target, self.0.clock.elapsed());
        Attempt::admit(self, checks).await
    }
}

impl Attempt {
    /// Waits while other attempts are in the way.
    async fn admit(limits: &RateLimits, checks: GuessChecks) -> Result<Self> {
        let limit = limits.0.config.guesses_per_hour;
        let begin = || lock(&limits.0.guesses).begin(&checks, limits.0.clock.elapsed(), limit);
        if begin()? == Admission::Later {
            let _waiter = Waiter::new(limits, &checks)?;
            let admitted = async {
                loop {
                    // Created before the counts are read, so that no answer in between is missed.
                    let answered = limits.0.answered.notified();
                    if begin()? == Admission::Now {
                        return Ok(());
                    }
                    answered.await;
                }
            };
            let late = Err(Error::RateLimited { retry_after: RETRY_SOON });
            timeout(ADMISSION_TIMEOUT, admitted).await.unwrap_or(late)?;
        }
        Ok(Self { limits: limits.clone(), checks })
    }

    /// Reports that the password was wrong.
    pub fn failed(self) {
        let inner = &self.limits.0;
        lock(&inner.guesses).failed(&self.checks, inner.clock.elapsed());
    }

    /// Reports that the password was right: this ends the backoff of this guesser at this target.
    pub fn succeeded(self) {
        let inner = &self.limits.0;
        lock(&inner.guesses).succeeded(&self.checks, inner.clock.elapsed());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        lock(&self.limits.0.guesses).end(&self.checks);
        self.limits.0.answered.notify_waiters();
    }
}

/// A waiting attempt. Their number is bounded, since each answer wakes all of them.
struct Waiter<'a> {
    limits: &'a RateLimits,
    guesser: Option<Guesser>,
}

impl<'a> Waiter<'a> {
    fn new(limits: &'a RateLimits, checks: &GuessChecks) -> Result<Self> {
        let guesser = checks.waits_under();
        if guesser.is_none_or(|guesser| lock(&limits.0.guesses).enqueue(guesser)) {
            Ok(Self { limits, guesser })
        } else {
            Err(Error::RateLimited { retry_after: RETRY_SOON })
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if let Some(guesser) = self.guesser {
            lock(&self.limits.0.guesses).dequeue(guesser);
        }
    }
}

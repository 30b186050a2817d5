//! Retries calls until a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{Error, backoff::Backoff, client::Inner};

/// Caps timeouts: an unlimited one would overflow an `Instant`.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The deadline of a timeout that starts now.
pub(crate) fn deadline_after(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(LONGEST_TIMEOUT)
}

impl Inner {
    /// The deadline of a call that starts now.
    pub(crate) fn deadline(&self) -> Instant {
        let deadline = deadline_after(self.send_timeout);
        self.deadline.map_or(deadline, |handle| deadline.min(handle))
    }

    /// Retries an idempotent call while that may help. Attempts, token renewals and delays share `deadline`; the
    /// error is the last attempt's.
    pub(crate) async fn retry_until<T, Fut>(
        &self,
        deadline: Instant,
        call: impl Fn() -> Fut,
    ) -> Result<T, Error>
    where
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut last_error = None;
        let attempts = async {
            let mut backoff = Backoff::default();
            loop {
                let error = match call().await {
                    Err(error) if error.is_retryable() => error,
                    response => return response,
                };
                let next = Instant::now() + backoff.next(error.retry_after());
                if next > deadline {
                    return Err(error);
                }
                last_error = Some(error);
                sleep_until(next).await;
            }
        };
        let done = tokio::select! {
            biased;
            () = self.transport.closed() => return Err(Error::Disconnected),
            done = timeout_at(deadline, attempts) => done,
        };
        done.unwrap_or_else(|_| Err(last_error.unwrap_or(Error::TimedOut)))
    }
}

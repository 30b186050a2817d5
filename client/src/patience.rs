//! How long a call is tried again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{Error, backoff::Backoff, client::Inner};

/// In place of a patience without end, which no clock can add.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The end of a time that begins now.
pub(crate) fn end_after(time: Duration) -> Instant {
    Instant::now() + time.min(A_YEAR)
}

impl Inner {
    /// When what begins now is given up.
    pub(crate) fn end(&self) -> Instant {
        let end = end_after(self.patience);
        self.last.map_or(end, |last| end.min(last))
    }

    /// Repeats a call that may be repeated, while that may help. Attempts, renewals of tokens and pauses are over
    /// at `end`, together; what the last attempt met is the error.
    pub(crate) async fn patiently<T, Fut>(&self, end: Instant, call: impl Fn() -> Fut) -> Result<T, Error>
    where
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut met = None;
        let attempts = async {
            let mut backoff = Backoff::default();
            loop {
                let error = match call().await {
                    Err(error) if error.is_retryable() => error,
                    answer => return answer,
                };
                let next = Instant::now() + backoff.next(error.retry_after());
                if next > end {
                    return Err(error);
                }
                met = Some(error);
                sleep_until(next).await;
            }
        };
        let done = tokio::select! {
            biased;
            () = self.transport.closed() => return Err(Error::Disconnected),
            done = timeout_at(end, attempts) => done,
        };
        done.unwrap_or_else(|_| Err(met.unwrap_or(Error::TimedOut)))
    }
}

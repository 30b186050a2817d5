//! The body of every message: the time at which it was sent, in 16 hexadecimal digits, padded to 64 bytes.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
const DIGITS: usize = 16;

/// Returns the time since the first call.
pub(crate) fn now() -> Duration {
    START.elapsed()
}

/// Makes a body of 64 bytes with the time `now`.
pub(crate) fn body(now: Duration) -> String {
    format!("{:016x}{:.>48}", now.as_nanos(), "")
}

/// Parses the time in a body.
pub(crate) fn sent(body: &[u8]) -> Option<Duration> {
    let digits = str::from_utf8(body.get(..DIGITS)?).ok()?;
    u64::from_str_radix(digits, 16).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_64_bytes_and_the_time_at_which_it_was_sent() {
        let now = Duration::from_nanos(123_456_789_012);
        assert_eq!(body(now).len(), 64);
        assert_eq!(sent(body(now).as_bytes()), Some(now));
        assert_eq!(sent(b"hello"), None);
    }
}

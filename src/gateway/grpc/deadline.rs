//! The deadline of a gRPC call, from the header `grpc-timeout` and the timeout of unary calls. tonic enforces the header only
//! in its own server, which is not used here.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::model::{Error, Result};

/// Timeout of a unary call.
const UNARY_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the deadline of a unary call: the client's, or the timeout's where that is earlier.
pub(super) fn unary(requested: Option<Instant>) -> Instant {
    let deadline = Instant::now() + UNARY_TIMEOUT;
    requested.map_or(deadline, |requested| requested.min(deadline))
}

/// Parses the client's timeout: at most eight digits and a unit.
///
/// # Errors
/// [`Error::InvalidField`] where the header is anything else.
pub(super) fn requested_timeout(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let invalid =
        Error::InvalidField { field: "grpc-timeout", problem: "grpc-timeout is digits and one of HMSmun" };
    let text = value.to_str().map_err(|_| invalid.clone())?;
    let (digits, unit) =
        text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(|| invalid.clone())?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid);
    }
    let count: u64 = digits.parse().map_err(|_| invalid.clone())?;
    match unit {
        "H" => Ok(Some(Duration::from_secs(count * 3_600))),
        "M" => Ok(Some(Duration::from_secs(count * 60))),
        "S" => Ok(Some(Duration::from_secs(count))),
        "m" => Ok(Some(Duration::from_millis(count))),
        "u" => Ok(Some(Duration::from_micros(count))),
        "n" => Ok(Some(Duration::from_nanos(count))),
        _ => Err(invalid),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(text: &'static str) -> Option<Option<Duration>> {
        let headers = std::iter::once((
            http::header::HeaderName::from_static("grpc-timeout"),
            HeaderValue::from_static(text),
        ));
        requested_timeout(&headers.collect()).ok()
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(parse("300m"), Some(Some(Duration::from_millis(300))));
        assert_eq!(parse("5S"), Some(Some(Duration::from_secs(5))));
        assert_eq!(parse("99999999H"), Some(Some(Duration::from_secs(99_999_999 * 3_600))));
        for bad in ["", "S", "5", "5x", "-5S", "123456789S", "5 S"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert!(requested_timeout(&HeaderMap::new()).is_ok_and(|none| none.is_none()));
    }
}

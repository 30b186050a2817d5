//! The request id, `x-request-id`: the client's where it is safe to log, else a new one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{HeaderName, HeaderValue, Request};
use tower_http::request_id::{MakeRequestId, RequestId};

use crate::clock::Clock;

/// Makes the request ids of this process: a random number, so that the ids of two runs differ, and a counter.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct RequestIds {
    run: u32,
    next: Arc<AtomicU64>,
}

impl RequestIds {
    /// Starts at zero, with a random number for this run.
    pub(in crate::gateway) fn new(clock: &Clock) -> Self {
        Self { run: u32::from_ne_bytes(clock.random()), next: Arc::default() }
    }
}

impl MakeRequestId for RequestIds {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let id = format!("{:08x}-{:x}", self.run, self.next.fetch_add(1, Ordering::Relaxed));
        HeaderValue::try_from(id).ok().map(RequestId::new)
    }
}

/// The header of the request id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum length of a client's request id.
const MAX_ID_LENGTH: usize = 64;

/// Removes a client's request id that is not safe to log. It must not hold characters that end a field of a log line, nor
/// a token that a client has put into the wrong header.
pub(in crate::gateway) fn remove_unsafe<B>(mut request: Request<B>) -> Request<B> {
    let mut ids = request.headers().get_all(REQUEST_ID).iter();
    let (first, more) = (ids.next(), ids.next());
    if first.is_some_and(|id| more.is_some() || !is_safe(id.as_bytes())) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

fn is_safe(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_ID_LENGTH).contains(&id.len()) && id.iter().all(is_allowed)
}

//! A request's body that comes back when whoever was to read it has answered without. What is still on its way then would
//! be taken for the next request, or cost the connection, and behind a proxy others call on it too: a bounded rest is
//! read, and where there is more the answer says that the connection ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::route::{Content, Dialect};

/// How much of a body that nobody wants is read, and for how long.
const REST_BYTES: u64 = 256 * 1024;
const REST: Duration = Duration::from_secs(1);

/// A body that is lent to whoever answers.
#[derive(Debug)]
pub(super) struct Lent {
    body: Option<Incoming>,
    is_asked_for: bool,
    back: Arc<Mutex<Option<Returned>>>,
}

#[derive(Debug)]
struct Returned {
    body: Incoming,
    is_asked_for: bool,
}

/// What is left of a request when its body was lent.
#[derive(Debug)]
pub(super) struct Lender {
    back: Arc<Mutex<Option<Returned>>>,
    is_http1: bool,
    /// The client sends nothing before it is told to go on.
    waits: bool,
    /// It may be a stream, whose end is not to be waited for; gRPC's clients take an answer at any time.
    is_grpc: bool,
}

/// Lends the body of a request.
pub(super) fn lend(request: Request<Incoming>) -> (Request<Lent>, Lender) {
    let back = Arc::default();
    let expects = request.headers().get(header::EXPECT);
    let lender = Lender {
        back: Arc::clone(&back),
        is_http1: request.version() < Version::HTTP_2,
        waits: expects.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
        is_grpc: Content::of(request.headers()) == Content::Grpc(Dialect::Grpc),
    };
    (request.map(|body| Lent { body: Some(body), is_asked_for: false, back }), lender)
}

impl Lender {
    /// Reads the rest of the body where it was given back, and says in the answer whether the connection goes on. A body
    /// that is still read, as that of a stream, is left alone.
    pub(super) async fn settle<B>(self, response: &mut Response<B>) {
        let Some(Returned { mut body, is_asked_for }) = self.back.lock().take() else { return };
        if self.is_grpc || body.is_end_stream() {
            return;
        }
        // Reading would ask the client for what it has not sent.
        let is_read = (is_asked_for || !self.waits)
            && body.size_hint().lower() <= REST_BYTES
            && timeout(REST, read(&mut body)).await == Ok(true);
        if !is_read && self.is_http1 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Reads a body, and says whether it ended within the bound.
async fn read(body: &mut Incoming) -> bool {
    let mut left = REST_BYTES;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(rest) = left.checked_sub(length) else { return false };
        left = rest;
    }
    true
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_asked_for = true;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            *self.back.lock() = Some(Returned { body, is_asked_for: self.is_asked_for });
        }
    }
}

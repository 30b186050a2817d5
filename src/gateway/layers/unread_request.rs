//! Reads the rest of a request's body where the response was made without it, as most refusals are.
//!
//! Over HTTP/1.1 an unread rest costs the connection, which others share behind a proxy. So a limited rest is read before the
//! response is sent. If there is more, the response announces the close of the connection.
//!
//! Over HTTP/2 an unread rest costs only its stream, but h2 resets the stream as soon as the body is dropped. A client that
//! is still sending then forgets the response (curl), or waits for a window that never opens (httpx). So the body is kept in
//! the response's extensions until after the response, and more of it is read.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tower::Service;

use crate::gateway::{
    body::{Body, BoxError},
    incoming::Incoming,
    route::{ContentType, Dialect},
};

/// Maximum number of bytes that are read over HTTP/1.1.
const MAX_HTTP1_BYTES: u64 = 256 * 1024;

/// Maximum number of bytes that are read over HTTP/2.
const MAX_HTTP2_BYTES: u64 = 4 * 1024 * 1024;

/// How long a response waits for the rest of the request.
const BEFORE_RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the rest is read after the response, over HTTP/2.
const AFTER_RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may pause while the rest is read after the response.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a body that was too large is kept, so that the client can read the response.
const LINGER: Duration = Duration::from_secs(1);

/// The body of a request. Dropping it returns it to [`read_rest`].
#[derive(Debug)]
pub(in crate::gateway) struct RequestBody {
    body: Option<Incoming>,
    was_polled: bool,
    dropped: Arc<Mutex<Option<DroppedBody>>>,
}

/// A body that was dropped.
#[derive(Debug)]
struct DroppedBody {
    body: Incoming,
    was_polled: bool,
}

/// Reads the rest of a request's body before its response, or leaves it to [`UnreadRequest::read`].
pub(in crate::gateway) fn read_rest<S>(
    (): &(),
    request: Request<Incoming>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<S>
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible>,
{
    let dropped = Arc::default();
    let is_http1 = request.version() < Version::HTTP_2;
    let expect = request.headers().get(header::EXPECT);
    let reader = RestReader {
        dropped: Arc::clone(&dropped),
        is_http1,
        expects_continue: expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
        is_grpc: ContentType::of(request.headers()) == ContentType::Grpc(Dialect::Grpc),
        is_connect: request.method() == Method::CONNECT,
    };
    let request = request.map(|body| RequestBody { body: Some(body), was_polled: false, dropped });
    let future = inner.call(request);
    async move {
        let mut response = future.await?;
        reader.read(&mut response).await;
        Ok(response)
    }
}

struct RestReader {
    dropped: Arc<Mutex<Option<DroppedBody>>>,
    is_http1: bool,
    /// The client sends the body only after `100 Continue`.
    expects_continue: bool,
    /// The body may be a stream, so the response must not wait for its end. gRPC clients accept a response at any time.
    is_grpc: bool,
    /// The body would be the bytes of a tunnel, which has no end.
    is_connect: bool,
}

impl RestReader {
    async fn read(self, response: &mut Response<Body>) {
        // A handler may still read the body, as that of a stream.
        let Some(DroppedBody { body, was_polled }) = self.dropped.lock().take() else { return };
        if body.is_end_stream() || self.is_connect || (self.is_grpc && self.is_http1) {
            return;
        }
        let max = if self.is_http1 { MAX_HTTP1_BYTES } else { MAX_HTTP2_BYTES };
        let mut unread = UnreadBody { body, remaining: Some(max) };
        // The first poll of a body sends `100 Continue`.
        let is_read = !self.is_grpc
            && (was_polled || !self.expects_continue)
            && unread.body.size_hint().lower() <= max
            && timeout(BEFORE_RESPONSE_TIMEOUT, unread.read()).await == Ok(true);
        if is_read {
            return;
        }
        if self.is_http1 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        } else {
            response.extensions_mut().insert(UnreadRequest(Arc::new(Mutex::new(Some(unread)))));
        }
    }
}

/// The unread rest of a request over HTTP/2, in the extensions of its response. Clones share it.
#[derive(Clone)]
pub(in crate::gateway) struct UnreadRequest(Arc<Mutex<Option<UnreadBody>>>);

impl UnreadRequest {
    /// Reads after the response. Keeps a body that is too large until the client has had time to read the response.
    pub(in crate::gateway) async fn read(self) {
        let unread = self.0.lock().take();
        if let Some(unread) = unread {
            unread.read_after_response().await;
        }
    }
}

/// The unread rest of a request's body.
struct UnreadBody {
    body: Incoming,
    /// How many more bytes may be read; none once there were too many.
    remaining: Option<u64>,
}

impl UnreadBody {
    /// Reads to the end. Returns whether the end came within the limit.
    async fn read(&mut self) -> bool {
        while let Some(remaining) = self.remaining {
            match self.body.frame().await {
                Some(Ok(frame)) => self.remaining = remaining.checked_sub(length(&frame)),
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        false
    }

    async fn read_after_response(mut self) {
        let reading = async {
            while let Some(remaining) = self.remaining {
                match timeout(PAUSE_TIMEOUT, self.body.frame()).await {
                    Ok(Some(Ok(frame))) => self.remaining = remaining.checked_sub(length(&frame)),
                    // The body has ended, or the client has paused.
                    Ok(Some(Err(_)) | None) | Err(_) => return,
                }
            }
            sleep(LINGER).await;
        };
        let _ = timeout(AFTER_RESPONSE_TIMEOUT, reading).await;
    }
}

fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, Bytes::len) as u64
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.was_polled = true;
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

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            *self.dropped.lock() = Some(DroppedBody { body, was_polled: self.was_polled });
        }
    }
}

//! A request's body that comes back when whoever was to read it has answered without. What is still on its way then would
//! be taken for the next request, or cost the connection, and behind a proxy others call on it too: a bounded rest is
//! read, and where there is more the answer says that the connection ends.
//!
//! Over HTTP/2 the rest costs its stream alone, but h2 resets that as soon as its body is dropped, after the answer. Clients
//! that still send forget the answer then (curl), or wait for a window that never opens (httpx). So the body outlives the
//! answer, and more of it is read.

use std::{
    cell::Cell,
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
use tokio::time::{sleep, timeout};

use super::route::{Content, Dialect};

/// How much of a body that nobody wants is read: of one that holds its connection up, and of one that has a stream of its
/// own.
const REST_BYTES: u64 = 256 * 1024;
const STREAM_REST_BYTES: u64 = 4 * 1024 * 1024;

/// How long the answer waits for the end of such a body.
const REST: Duration = Duration::from_secs(1);

/// How long such a body is read after the answer over HTTP/2, where its window makes it slow, and how long it may pause.
const AFTERWARDS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// What is left of the request of the stream of HTTP/2 that is polled.
    static LEFT: Cell<Option<Box<Rest>>>;
}

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
    /// It may be a stream, whose end the answer does not wait for; gRPC's clients take one at any time.
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
        let Some(Returned { body, is_asked_for }) = self.back.lock().take() else { return };
        if body.is_end_stream() || (self.is_grpc && self.is_http1) {
            return;
        }
        let bytes = if self.is_http1 { REST_BYTES } else { STREAM_REST_BYTES };
        let mut rest = Rest { body, left: Some(bytes) };
        // Reading would ask the client for what it has not sent.
        let is_read = !self.is_grpc
            && (is_asked_for || !self.waits)
            && rest.body.size_hint().lower() <= bytes
            && timeout(REST, rest.read()).await == Ok(true);
        if is_read {
            return;
        }
        if self.is_http1 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        } else {
            // Where no task of a stream is run, nobody can wait for its end.
            let _ = LEFT.try_with(|left| left.set(Some(Box::new(rest))));
        }
    }
}

/// Runs a stream of HTTP/2 to the end of its answer, and reads on what is left of its request for a while.
pub(super) async fn read_on(stream: impl Future<Output = ()>) {
    let answering = async {
        stream.await;
        LEFT.with(Cell::take)
    };
    if let Some(rest) = LEFT.scope(Cell::default(), answering).await {
        // On the heap: most streams have nothing left.
        Box::pin(rest.read_afterwards()).await;
    }
}

/// What is left of a body that nobody wants.
struct Rest {
    body: Incoming,
    /// How many bytes of it may be read; none where it has more.
    left: Option<u64>,
}

impl Rest {
    /// Reads all of it, and says whether it ended within the bound.
    async fn read(&mut self) -> bool {
        while let Some(left) = self.left {
            match self.body.frame().await {
                Some(Ok(frame)) => self.left = left.checked_sub(length(&frame)),
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        false
    }

    /// Reads it when its request was answered, and keeps it open so long that its client sees the answer first.
    async fn read_afterwards(mut self: Box<Self>) {
        let reading = async {
            while let Some(left) = self.left {
                match timeout(PAUSE, self.body.frame()).await {
                    Ok(Some(Ok(frame))) => self.left = left.checked_sub(length(&frame)),
                    // It has ended, or does not go on.
                    Ok(Some(Err(_)) | None) | Err(_) => return,
                }
            }
            sleep(PAUSE).await;
        };
        let _ = timeout(AFTERWARDS, reading).await;
    }
}

fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, Bytes::len) as u64
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

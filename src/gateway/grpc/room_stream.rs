//! A room's stream as the body of a gRPC response.
//!
//! tonic encodes each message for each stream. The hub frames a message once for all streams. So the handler gives tonic an
//! empty stream and puts the [`RoomStream`] into the response's extensions, and [`attach`] makes it the body.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use super::trailers::trailers;
use crate::{
    domain::chat::Subscription,
    gateway::{
        body::{Body, Streaming},
        call_metrics::StreamMetrics,
    },
    model::Error,
};

/// The frames of a subscription, and a status at the end. Never fails: a status ends it.
struct RoomStream {
    subscription: Option<Subscription>,
    /// The deadline that the client has set.
    deadline: Option<Pin<Box<Sleep>>>,
    frames: u64,
    /// Set when the stream is attached.
    metrics: Option<StreamMetrics>,
}

impl RoomStream {
    fn new(subscription: Subscription) -> Self {
        Self { subscription: Some(subscription), deadline: None, frames: 0, metrics: None }
    }

    fn end(&mut self, error: Option<Error>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.subscription = None;
        let reason = error.as_ref().map_or("", Error::reason);
        tracing::debug!(frames = self.frames, reason, "a stream ended");
        let status = error.map_or_else(|| Status::ok(""), Status::from);
        if let Some(metrics) = &mut self.metrics {
            metrics.end(status.code());
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))))
    }
}

impl HttpBody for RoomStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(subscription) = &mut this.subscription else { return Poll::Ready(None) };
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return this.end(Some(Error::DeadlineExceeded));
        }
        match std::task::ready!(subscription.poll_frames(context)) {
            Some(Ok(frames)) => {
                this.frames += 1;
                Poll::Ready(Some(Ok(Frame::data(frames))))
            }
            Some(Err(error)) => this.end(Some(error)),
            None => this.end(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.subscription.is_none()
    }
}

/// A stream on its way from the handler to the body.
#[derive(Clone)]
struct Detached(Arc<Mutex<Option<RoomStream>>>);

/// Makes the response of a handler, with `subscription` in its extensions.
pub(super) fn respond<T>(
    subscription: Subscription,
) -> tonic::Response<tokio_stream::Empty<Result<T, Status>>> {
    let mut response = tonic::Response::new(tokio_stream::empty());
    response.extensions_mut().insert(Detached(Arc::new(Mutex::new(Some(RoomStream::new(subscription))))));
    response
}

/// Makes the stream of [`respond`] the body of the response instead of tonic's. Other responses keep their body.
pub(super) fn attach(
    mut response: Response<tonic::body::Body>,
    deadline: Option<Instant>,
    metrics: impl FnOnce() -> StreamMetrics,
) -> Response<Body> {
    let detached =
        response.extensions_mut().remove::<Detached>().and_then(|detached| detached.0.lock().take());
    match detached {
        Some(mut stream) => {
            stream.metrics = Some(metrics());
            stream.deadline = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
            response.extensions_mut().insert(Streaming::Room);
            response.map(|_| Body::Stream(Box::pin(stream)))
        }
        None => response.map(Body::from),
    }
}

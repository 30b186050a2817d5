//! A room's log as the body of a gRPC answer.
//!
//! tonic encodes one message at a time, with a prefix and a buffer of its own for each stream. The log is framed
//! once for everybody, so the handler hands tonic an empty stream, puts the real one into the response's
//! extensions, and [`take`] puts it where the body is.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use tokio::time::Sleep;
use tonic::Status;

use crate::{
    domain::chat::Subscription,
    gateway::{
        body::Body,
        figures::OpenStream,
        patience::{MayLieUnread, Streaming},
    },
    model::Error,
};

/// The frames of a subscription, and a status at the end. Never fails: what ends a stream is its status.
pub(crate) struct FeedBody {
    subscription: Option<Subscription>,
    /// Where the caller set a deadline for the stream.
    deadline: Option<Pin<Box<Sleep>>>,
    frames: u64,
    /// As what it is counted.
    counted: Option<OpenStream>,
}

impl FeedBody {
    fn new(subscription: Subscription) -> Self {
        Self { subscription: Some(subscription), deadline: None, frames: 0, counted: None }
    }

    /// Ends the stream with DEADLINE_EXCEEDED when `deadline` has passed.
    pub(crate) fn set_deadline(&mut self, deadline: tokio::time::Instant) {
        self.deadline = Some(Box::pin(tokio::time::sleep_until(deadline)));
    }

    fn end(&mut self, error: Option<Error>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.subscription = None;
        let reason = error.as_ref().map_or("", Error::reason);
        tracing::debug!(frames = self.frames, reason, "a stream ended");
        let status = error.map_or_else(|| Status::ok(""), Status::from);
        if let Some(counted) = &mut self.counted {
            counted.end(status.code());
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))))
    }
}

/// Writes a status as the end of a stream.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    if let Err(status) = status.add_header(&mut trailers) {
        tracing::error!(%status, "a status could not be written as trailers");
    }
    trailers
}

impl HttpBody for FeedBody {
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

/// A feed on its way from the handler to the body.
#[derive(Clone)]
struct Handed(Arc<Mutex<Option<FeedBody>>>);

/// Makes the answer of a handler whose stream is `subscription`.
pub(super) fn hand<T>(subscription: Subscription) -> tonic::Response<tokio_stream::Empty<Result<T, Status>>> {
    let mut response = tonic::Response::new(tokio_stream::empty());
    response.extensions_mut().insert(Handed(Arc::new(Mutex::new(Some(FeedBody::new(subscription))))));
    response
}

/// Puts the feed that a handler handed over, if any, in the place of tonic's body.
pub(super) fn take(
    mut response: Response<tonic::body::Body>,
    deadline: Option<tokio::time::Instant>,
    counted: impl FnOnce() -> OpenStream,
) -> Response<Body> {
    let handed = response.extensions_mut().remove::<Handed>().and_then(|handed| handed.0.lock().take());
    match handed {
        Some(mut feed) => {
            feed.counted = Some(counted());
            if let Some(deadline) = deadline {
                feed.set_deadline(deadline);
            }
            response.extensions_mut().insert(MayLieUnread);
            response.extensions_mut().insert(Streaming);
            response.map(|_| Body::Feed(Box::new(feed)))
        }
        None => response.map(Body::from),
    }
}

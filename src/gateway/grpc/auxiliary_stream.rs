//! The streams that are not a room's: health watches and reflection. They need no token and never end by themselves. So they
//! end with a status at their deadline, when the server drains, and when the connection retires.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tonic::{Code, Status, body::Body};

use super::{
    auxiliary_requests::{AuxiliaryRequests, Charge, RequestError},
    trailers::trailers,
};
use crate::{
    gateway::{
        call_metrics::StreamMetrics,
        peer::{MAX_AUXILIARY_STREAMS, Peer},
    },
    model::{Error, Result},
};

/// Counts one auxiliary stream of a connection, before it opens.
pub(super) struct AuxiliaryPermit {
    permit: OwnedSemaphorePermit,
    retiring: CancellationToken,
    /// Cancels the request's body when the stream is dropped.
    ended: DropGuard,
    request_error: RequestError,
}

impl AuxiliaryPermit {
    /// Acquires the permit.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] where the connection has reached its limit.
    pub(super) fn acquire(peer: &Peer) -> Result<Self> {
        let permit = Arc::clone(&peer.auxiliary_streams).try_acquire_owned();
        let permit = permit.map_err(|_| Error::TooManyStreams { limit: MAX_AUXILIARY_STREAMS })?;
        let ended = CancellationToken::new().drop_guard();
        Ok(Self { permit, retiring: peer.retiring.clone(), ended, request_error: RequestError::default() })
    }

    /// Wraps the request's body, so that each request in it is charged, and so that it ends with the stream: tonic's services
    /// respond until the body ends.
    pub(super) fn wrap_request(&self, body: Body, charge: Charge) -> Body {
        let ended = self.ended.token().clone().cancelled_owned();
        Body::new(AuxiliaryRequests::new(body, ended, charge, self.request_error.clone()))
    }

    /// Returns the error of a request that was refused before the stream opened.
    pub(super) fn request_error(&self) -> Option<Error> {
        self.request_error.get()
    }

    /// Wraps the body of the response.
    pub(super) fn into_stream(
        self,
        body: Body,
        deadline: Option<Instant>,
        metrics: StreamMetrics,
    ) -> AuxiliaryStream {
        AuxiliaryStream {
            body: Some(body),
            retiring: Box::pin(self.retiring.cancelled_owned()),
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            metrics,
            request_error: self.request_error,
            _guards: (self.permit, self.ended),
        }
    }
}

/// The response's body of an auxiliary stream. Never fails: a status ends it.
pub(super) struct AuxiliaryStream {
    body: Option<Body>,
    retiring: Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: Option<Pin<Box<Sleep>>>,
    metrics: StreamMetrics,
    /// The error that ended the requests.
    request_error: RequestError,
    /// The permit, and the cancellation of the request's body.
    _guards: (OwnedSemaphorePermit, DropGuard),
}

impl AuxiliaryStream {
    fn end(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.body = None;
        let status = Status::from(error);
        self.metrics.end(status.code());
        Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))))
    }
}

impl HttpBody for AuxiliaryStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        // Before the body: a client that sends more requests must not delay the end.
        if this.retiring.as_mut().poll(context).is_ready() {
            return this.end(Error::Draining);
        }
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return this.end(Error::DeadlineExceeded);
        }
        match std::task::ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    if let Some(error) = this.request_error.get() {
                        return this.end(error);
                    }
                    let status = Status::from_header_map(trailers);
                    this.body = None;
                    this.metrics.end(status.map_or(Code::Ok, |status| status.code()));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(status)) => {
                tracing::error!(%status, "an auxiliary stream failed");
                this.end(Error::Internal)
            }
            None => {
                this.body = None;
                this.metrics.end(Code::Ok);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }
}

//! The streams that are not a room's: health watches and reflection. Whoever comes may open them and nobody ends them,
//! so this does: with a status at the deadline, and when the server drains or the connection is old.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tonic::{Code, Status, body::Body};

use super::{
    feed::trailers,
    side_requests::{Paying, Refused, SideRequests},
};
use crate::{
    gateway::figures::OpenStream,
    model::{Error, Result},
};

/// How many may be open on one connection: a client needs one or two, a proxy a few.
const MOST: usize = 16;

/// What the side streams of one connection have in common.
#[derive(Debug)]
pub(in crate::gateway) struct SideStreams {
    /// Done when they are to end.
    ending: CancellationToken,
    /// A place for each that may be opened.
    places: Arc<Semaphore>,
}

impl SideStreams {
    /// Begins with none; they end with `ending`.
    pub(in crate::gateway) fn new(ending: CancellationToken) -> Self {
        Self { ending, places: Arc::new(Semaphore::new(MOST)) }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] where there is none.
    pub(super) fn open(&self) -> Result<Opening> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Error::TooManyStreams { limit: MOST })?;
        let (ending, over) = (self.ending.clone(), CancellationToken::new().drop_guard());
        Ok(Opening { ending, place, over, refused: Refused::default() })
    }
}

/// A place for a stream that is not open yet.
pub(super) struct Opening {
    ending: CancellationToken,
    place: OwnedSemaphorePermit,
    over: DropGuard,
    refused: Refused,
}

impl Opening {
    /// Ends the request when the stream does, whose answers last as long as there is more of it; and has what is asked in it
    /// paid for.
    pub(super) fn bound(&self, request: Body, paying: Paying) -> Body {
        let over = self.over.token().clone().cancelled_owned();
        Body::new(SideRequests::new(request, over, paying, self.refused.clone()))
    }

    /// Says what was refused before the stream began.
    pub(super) fn refused(&self) -> Option<Error> {
        self.refused.get()
    }

    /// Makes the body of the answer.
    pub(super) fn stream(self, answer: Body, deadline: Option<Instant>, counted: OpenStream) -> SideStream {
        SideStream {
            answer: Some(answer),
            ending: Box::pin(self.ending.cancelled_owned()),
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            counted,
            refused: self.refused,
            _held: (self.place, self.over),
        }
    }
}

/// The body of a side stream's answer. Never fails: what ends it is its status.
pub(crate) struct SideStream {
    answer: Option<Body>,
    ending: Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: Option<Pin<Box<Sleep>>>,
    counted: OpenStream,
    /// Why the requests in it have ended.
    refused: Refused,
    /// The place among others, and the end of the request.
    _held: (OwnedSemaphorePermit, DropGuard),
}

impl SideStream {
    fn end(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.answer = None;
        let status = Status::from(error);
        self.counted.end(status.code());
        Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))))
    }
}

impl HttpBody for SideStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(answer) = &mut this.answer else { return Poll::Ready(None) };
        // First of all: a client that goes on asking would put the end off.
        if this.ending.as_mut().poll(context).is_ready() {
            return this.end(Error::Draining);
        }
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return this.end(Error::DeadlineExceeded);
        }
        match std::task::ready!(Pin::new(answer).poll_frame(context)) {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    if let Some(error) = this.refused.get() {
                        return this.end(error);
                    }
                    let status = Status::from_header_map(trailers);
                    this.answer = None;
                    this.counted.end(status.map_or(Code::Ok, |status| status.code()));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(status)) => {
                tracing::error!(%status, "a side stream failed");
                this.end(Error::Internal)
            }
            None => {
                this.answer = None;
                this.counted.end(Code::Ok);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_none()
    }
}

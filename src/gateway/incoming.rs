//! The body of a request, as it arrives over HTTP/1.1 or HTTP/2.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Either;

/// The body of a request: left over HTTP/1.1, right over HTTP/2.
pub(super) type Incoming = Either<hyper::body::Incoming, Http2Body>;

/// A body that arrives over HTTP/2.
#[derive(Debug)]
pub(super) struct Http2Body {
    stream: RecvStream,
    /// How many bytes are still to come, where the client has said so. h2 checks that it is true.
    remaining: Option<u64>,
}

impl Http2Body {
    /// Makes the body of a request with these headers.
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Self { stream, remaining: length }
    }
}

impl HttpBody for Http2Body {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = self.get_mut();
        if let Some(data) = ready!(this.stream.poll_data(context)?) {
            // Fails only once the connection is closed.
            let _ = this.stream.flow_control().release_capacity(data.len());
            this.remaining = this.remaining.map(|bytes| bytes.saturating_sub(data.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        this.stream.poll_trailers(context).map(|trailers| Some(trailers.transpose()?.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.remaining {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(bytes) => SizeHint::with_exact(bytes),
            None => SizeHint::default(),
        }
    }
}

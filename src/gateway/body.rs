//! The body of a response, from gRPC or from REST.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// An error of a body. It resets the stream over HTTP/2, and closes the connection over HTTP/1.1.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response.
pub(super) enum Body {
    /// tonic's.
    Grpc(tonic::body::Body),
    /// axum's.
    Rest(axum::body::Body),
    /// A room's stream.
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = Infallible> + Send>>),
}

/// The kind of a response that is a stream, in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streaming {
    /// A room's stream. The hub parks or ends one that is not read, so no minimum rate applies.
    Room,
    /// A health watch or server reflection.
    Auxiliary,
}

impl Streaming {
    /// Returns the kind of a response that is a stream.
    pub(super) fn of<B>(response: &http::Response<B>) -> Option<Self> {
        response.extensions().get().copied()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Grpc(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Rest(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Stream(body) => body.as_mut().poll_frame(context).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Grpc(body) => body.is_end_stream(),
            Self::Rest(body) => body.is_end_stream(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Grpc(body) => body.size_hint(),
            Self::Rest(body) => body.size_hint(),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Rest(axum::body::Body::empty())
    }
}

impl From<tonic::body::Body> for Body {
    fn from(body: tonic::body::Body) -> Self {
        Self::Grpc(body)
    }
}

impl From<axum::body::Body> for Body {
    fn from(body: axum::body::Body) -> Self {
        Self::Rest(body)
    }
}

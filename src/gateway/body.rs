//! The body of an answer, whichever branch it comes from.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::grpc::{FeedBody, SideStream};

/// Any failure of a body; it ends the stream or the connection.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub(super) enum Body {
    /// tonic's.
    Grpc(tonic::body::Body),
    /// axum's.
    Rest(axum::body::Body),
    /// A room's log as a stream.
    Feed(Box<FeedBody>),
    /// A stream that is not a room's.
    Side(Box<SideStream>),
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
            Self::Feed(body) => Pin::new(body.as_mut()).poll_frame(context).map_err(|never| match never {}),
            Self::Side(body) => Pin::new(body.as_mut()).poll_frame(context).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Grpc(body) => body.is_end_stream(),
            Self::Rest(body) => body.is_end_stream(),
            Self::Feed(body) => body.is_end_stream(),
            Self::Side(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Grpc(body) => body.size_hint(),
            Self::Rest(body) => body.size_hint(),
            Self::Feed(_) | Self::Side(_) => SizeHint::default(),
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

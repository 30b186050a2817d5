//! What every answer says in its head, whoever made it.

use http::{HeaderName, HeaderValue, Response, header};

use super::patience::Streaming;

/// For how long browsers come by TLS alone: renewed by each answer, and over soon enough where TLS is given up.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=2592000");

/// Tells nginx, and what has learnt it from nginx, to pass on each piece as it comes.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What an answer is to say besides what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerHeaders {
    /// Whether browsers are told to come by TLS alone.
    pub strict_transport: bool,
    /// Whether it is the last on its connection, which is HTTP/1.1.
    pub is_last: bool,
}

impl AnswerHeaders {
    /// Writes the headers. Those for browsers stand in every answer that is not gRPC's.
    pub(super) fn write<B>(self, response: &mut Response<B>) {
        let is_stream = response.extensions().get::<Streaming>().is_some();
        let headers = response.headers_mut();
        if is_stream {
            // What lies between must not collect, keep or compress it: a stream has no end to wait for.
            headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
        }
        if self.is_last {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if content_type.is_some_and(|content_type| content_type.starts_with(b"application/grpc")) {
            return;
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.strict_transport {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
        }
    }
}

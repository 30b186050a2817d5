//! Adds headers to every response.

use std::convert::Infallible;

use http::{HeaderName, HeaderValue, Request, Response, Version, header};
use tower::Service;

use crate::gateway::{
    body::{Body, Streaming},
    peer::Peer,
};

/// 30 days: each response renews it, and it expires soon after an operator has turned TLS off.
const STRICT_TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=2592000");

/// Makes nginx, and proxies that copy it, forward each piece of a stream at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Adds them. `strict_transport`: browsers must use TLS.
pub(in crate::gateway) fn add<S, B>(
    strict_transport: &bool,
    request: Request<B>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    let strict_transport = *strict_transport;
    let is_http1 = request.version() < Version::HTTP_2;
    let keep_alive =
        request.extensions().get::<Peer>().filter(|_| is_http1).map(|peer| peer.keep_alive.clone());
    let future = inner.call(request);
    async move {
        let mut response = future.await?;
        let is_stream = Streaming::of(&response).is_some();
        let headers = response.headers_mut();
        if is_stream {
            // A cache or a compressor would wait for the end of the stream.
            headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
        }
        if keep_alive.is_some_and(|keep_alive| keep_alive.is_last()) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if content_type.is_some_and(|content_type| content_type.starts_with(b"application/grpc")) {
            return Ok(response);
        }
        // The headers below are for browsers.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if strict_transport {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
        }
        Ok(response)
    }
}

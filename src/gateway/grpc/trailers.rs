//! The trailers that end a stream.

use http::HeaderMap;
use tonic::Status;

/// Returns a status as trailers.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    if let Err(status) = status.add_header(&mut trailers) {
        tracing::error!(%status, "a status could not be written as trailers");
    }
    trailers
}

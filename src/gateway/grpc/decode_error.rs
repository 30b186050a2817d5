//! Replaces tonic's refusal of a request that it cannot decode by an [`Error`].

use http::Response;
use tonic::{Code, Status};

use crate::model::Error;

/// Maximum size of a request, in bytes. tonic allocates the length in a prefix before the bytes arrive.
pub(super) const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Replaces the status of a request that tonic itself refuses.
pub(super) fn translate(response: Response<tonic::body::Body>) -> Response<tonic::body::Body> {
    let refused = Status::from_header_map(response.headers());
    match refused.filter(|status| status.code() != Code::Ok && status.details().is_empty()) {
        Some(status) => Status::from(from_tonic(&status)).into_http(),
        None => response,
    }
}

/// Returns the error for a status of tonic's own, which has no details, unlike that of an [`Error`].
pub(super) fn from_tonic(status: &Status) -> Error {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => Error::TooLarge { limit: MAX_REQUEST_BYTES },
        Code::Internal | Code::InvalidArgument | Code::DataLoss | Code::Unknown => {
            tracing::debug!(%status, "a request could not be read");
            Error::InvalidField {
                field: "request",
                problem: "the request is not the protobuf message that it should be",
            }
        }
        Code::Unimplemented => Error::UnsupportedEncoding,
        Code::Cancelled => Error::InvalidField { field: "request", problem: "the request broke off" },
        _ => {
            tracing::error!(%status, "tonic refused a call with an unexpected status");
            Error::Internal
        }
    }
}

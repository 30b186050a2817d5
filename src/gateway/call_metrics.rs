//! The metrics of a call and of a stream. Every label value is a name of the program's own, so that no client can create
//! series: an unknown path is `other`, and so is an unknown method.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use tonic::Code;

use super::{
    body::Body,
    route::{self, Call, Dialect, Method, Route},
};
use crate::metrics::{GRPC_HANDLED, GRPC_SECONDS, GRPC_STARTED, HTTP_REQUESTS, HTTP_SECONDS};

/// The metrics of a call in progress. Dropped before the response, they count a cancelled call.
#[derive(Debug)]
pub(super) struct CallMetrics(Option<Labels>);

#[derive(Clone, Copy, Debug)]
enum Labels {
    /// A gRPC call.
    Grpc(GrpcLabels),
    /// Another HTTP request.
    Http { verb: &'static str, path: Option<&'static str> },
}

/// The labels of a gRPC call.
#[derive(Clone, Copy, Debug)]
struct GrpcLabels {
    dialect: &'static str,
    kind: &'static str,
    service: &'static str,
    method: &'static str,
    /// Whether the response is a stream, which [`StreamMetrics`] count at its end.
    is_streaming: bool,
}

impl GrpcLabels {
    const fn known(dialect: Dialect, method: Method, is_legacy: bool) -> Self {
        let kind = if method.is_bidi() {
            "bidi_stream"
        } else if method.is_streaming() {
            "server_stream"
        } else {
            "unary"
        };
        let (dialect, service) = (dialect.as_str(), method.service(is_legacy));
        Self { dialect, kind, service, method: method.as_str(), is_streaming: method.is_streaming() }
    }

    const fn unknown(dialect: Dialect) -> Self {
        let dialect = dialect.as_str();
        Self { dialect, kind: "unary", service: "other", method: "other", is_streaming: false }
    }

    fn count_handled(self, code: Code) {
        GRPC_HANDLED.increment([self.dialect, self.kind, self.service, self.method, code_name(code)]);
    }
}

impl CallMetrics {
    /// Counts a call at its start.
    pub(super) fn start<B>(route: &Route, request: &Request<B>) -> Self {
        let labels = match route {
            Route::Grpc(dialect, Call::Known { method, legacy }) => {
                GrpcLabels::known(*dialect, *method, *legacy)
            }
            Route::Grpc(dialect, Call::Unknown { .. }) => GrpcLabels::unknown(*dialect),
            Route::Rest | Route::Refused(_) => {
                let (verb, path) =
                    (route::verb_name(request.method()), route::known_path(request.uri().path()));
                return Self(Some(Labels::Http { verb, path }));
            }
        };
        GRPC_STARTED.increment([labels.dialect, labels.kind, labels.service, labels.method]);
        Self(Some(Labels::Grpc(labels)))
    }

    /// Counts the head of its response.
    pub(super) fn finish(mut self, response: &Response<Body>, took: Duration) {
        match self.0.take() {
            Some(Labels::Grpc(labels)) => {
                let code = response_code(response);
                // An open stream is counted at its end.
                if !labels.is_streaming || code.is_some() {
                    labels.count_handled(code.unwrap_or(Code::Ok));
                }
                if !labels.is_streaming {
                    GRPC_SECONDS.observe([labels.kind, labels.service, labels.method], took);
                }
            }
            Some(Labels::Http { verb, path }) => {
                let found = response.status().as_u16() < 400;
                let path = path.unwrap_or(if found { "page" } else { "other" });
                HTTP_REQUESTS.increment([verb, path, status_name(response.status().as_u16())]);
                HTTP_SECONDS.observe([path], took);
            }
            None => {}
        }
    }
}

impl Drop for CallMetrics {
    fn drop(&mut self) {
        if let Some(Labels::Grpc(labels)) = self.0.take() {
            labels.count_handled(Code::Cancelled);
        }
    }
}

/// The metrics of an open stream. Dropped before its end, they count a cancelled stream.
#[derive(Debug)]
pub(super) struct StreamMetrics(Option<GrpcLabels>);

impl StreamMetrics {
    /// Makes the metrics of a stream of this method.
    pub(super) const fn new(dialect: Dialect, method: Method, is_legacy: bool) -> Self {
        Self(Some(GrpcLabels::known(dialect, method, is_legacy)))
    }

    /// Counts the end of the stream, once.
    pub(super) fn end(&mut self, code: Code) {
        if let Some(labels) = self.0.take() {
            labels.count_handled(code);
        }
    }
}

impl Drop for StreamMetrics {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// Returns the gRPC code of a response. None for the head of a response that succeeds: its code is in the trailers.
fn response_code(response: &Response<Body>) -> Option<Code> {
    if let Some(code) = response.headers().get("grpc-status") {
        return Some(Code::from_bytes(code.as_bytes()));
    }
    // A refusal in HTTP's own terms, as a gRPC client maps it.
    match response.status() {
        StatusCode::OK => None,
        StatusCode::BAD_REQUEST => Some(Code::Internal),
        StatusCode::NOT_FOUND => Some(Code::Unimplemented),
        _ => Some(Code::Unknown),
    }
}

/// Returns the name of a code, as other gRPC servers export it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// Returns the number of a status that this server sends, and the class of any other.
const fn status_name(status: u16) -> &'static str {
    match status {
        200 => "200",
        204 => "204",
        304 => "304",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        413 => "413",
        415 => "415",
        429 => "429",
        500 => "500",
        501 => "501",
        503 => "503",
        504 => "504",
        505 => "505",
        507 => "507",
        _ if status < 300 => "2xx",
        _ if status < 400 => "3xx",
        _ if status < 500 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: u16, grpc_status: Option<&str>) -> Option<Code> {
        let mut response = Response::builder().status(status);
        if let Some(code) = grpc_status {
            response = response.header("grpc-status", code);
        }
        response_code(&response.body(Body::default()).unwrap())
    }

    #[test]
    fn a_call_that_was_refused_in_http_is_not_counted_as_ok() {
        assert_eq!([code(200, None), code(200, Some("5"))], [None, Some(Code::NotFound)]);
        assert_eq!([code(404, None), code(400, None)], [Some(Code::Unimplemented), Some(Code::Internal)]);
    }
}

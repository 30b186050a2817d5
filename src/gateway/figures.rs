//! What the gateway counts of each call. Every label is a name of the program's own, so that nobody outside can make
//! series: a path that is not served is `other`, and so is a method.

use std::time::Duration;

use http::{Method as Verb, Request, Response};
use tonic::Code;

use super::{
    access,
    body::Body,
    route::{self, Dialect, Method, Route},
};
use crate::metrics::{GRPC_HANDLED, GRPC_SECONDS, GRPC_STARTED, HTTP_REQUESTS, HTTP_SECONDS};

/// A call on its way, as it is counted. One that is dropped before it is answered was cancelled.
#[derive(Debug)]
pub(super) struct Counted(Option<Call>);

#[derive(Clone, Copy, Debug)]
enum Call {
    /// A gRPC call.
    Grpc(GrpcCall),
    /// An HTTP request that is none.
    Http { verb: &'static str, path: Option<&'static str> },
}

/// The labels that all figures of a gRPC call have.
#[derive(Clone, Copy, Debug)]
struct GrpcCall {
    dialect: &'static str,
    kind: &'static str,
    service: &'static str,
    method: &'static str,
    /// Whether it answers with a stream, whose body tells of its end.
    streams: bool,
}

impl GrpcCall {
    const fn known(dialect: Dialect, method: Method, is_legacy: bool) -> Self {
        let kind = if method.is_bidi() {
            "bidi_stream"
        } else if method.is_streaming() {
            "server_stream"
        } else {
            "unary"
        };
        let (dialect, service) = (dialect.as_str(), method.service(is_legacy));
        Self { dialect, kind, service, method: method.as_str(), streams: method.is_streaming() }
    }

    const fn unknown(dialect: Dialect) -> Self {
        let dialect = dialect.as_str();
        Self { dialect, kind: "unary", service: "other", method: "other", streams: false }
    }

    fn handled(self, code: Code) {
        GRPC_HANDLED.increment([self.dialect, self.kind, self.service, self.method, code_name(code)]);
    }
}

impl Counted {
    /// Counts a call that begins.
    pub(super) fn begin<B>(route: &Route, request: &Request<B>) -> Self {
        let call = match route {
            Route::Grpc(dialect, route::Call::Known { method, legacy }) => {
                GrpcCall::known(*dialect, *method, *legacy)
            }
            Route::Grpc(dialect, route::Call::Unknown { .. }) => GrpcCall::unknown(*dialect),
            Route::Rest | Route::Refused(_) => {
                let (verb, path) = (verb(request.method()), access::known_path(request.uri().path()));
                return Self(Some(Call::Http { verb, path }));
            }
        };
        GRPC_STARTED.increment([call.dialect, call.kind, call.service, call.method]);
        Self(Some(Call::Grpc(call)))
    }

    /// Counts its answer's head.
    pub(super) fn answer(mut self, response: &Response<Body>, took: Duration) {
        match self.0.take() {
            Some(Call::Grpc(call)) => {
                let code =
                    response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
                // A stream that was opened is counted when it ends.
                if !call.streams || code.is_some() {
                    call.handled(code.unwrap_or(Code::Ok));
                }
                if !call.streams {
                    GRPC_SECONDS.observe([call.kind, call.service, call.method], took);
                }
            }
            Some(Call::Http { verb, path }) => {
                let found = response.status().as_u16() < 400;
                let path = path.unwrap_or(if found { "page" } else { "other" });
                HTTP_REQUESTS.increment([verb, path, status_name(response.status().as_u16())]);
                HTTP_SECONDS.observe([path], took);
            }
            None => {}
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(Call::Grpc(call)) = self.0.take() {
            call.handled(Code::Cancelled);
        }
    }
}

/// A stream that was opened, as it is counted at its end. One that is dropped before was cancelled.
#[derive(Debug)]
pub(super) struct OpenStream(Option<GrpcCall>);

impl OpenStream {
    /// Counts a stream of this method.
    pub(super) const fn new(dialect: Dialect, method: Method, is_legacy: bool) -> Self {
        Self(Some(GrpcCall::known(dialect, method, is_legacy)))
    }

    /// Counts its end; only the first counts.
    pub(super) fn end(&mut self, code: Code) {
        if let Some(call) = self.0.take() {
            call.handled(code);
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// Returns a method's name in logs and figures.
pub(super) const fn verb(verb: &Verb) -> &'static str {
    match *verb {
        Verb::GET => "GET",
        Verb::HEAD => "HEAD",
        Verb::POST => "POST",
        Verb::PUT => "PUT",
        Verb::DELETE => "DELETE",
        Verb::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Returns a code's name as other gRPC servers export it.
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

/// Returns the statuses that are given here by their number, and any other by its class.
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

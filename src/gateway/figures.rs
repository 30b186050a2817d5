//! What the gateway counts of each call. Every label is a name of the program's own, so that nobody outside can make
//! series: a path that is not served is `other`, and so is a method.

use std::time::Duration;

use http::{Method as Verb, Request, Response};
use tonic::Code;

use super::{
    access,
    body::Body,
    route::{Call, Dialect, Method, Route},
};
use crate::metrics::{GRPC_HANDLED, GRPC_SECONDS, GRPC_STARTED, HTTP_REQUESTS, HTTP_SECONDS};

/// A call on its way, as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counted {
    /// A gRPC call; `fed` where its body tells of its end.
    Grpc { dialect: &'static str, method: &'static str, fed: bool, streams: bool },
    /// An HTTP request that is none.
    Http { verb: &'static str, path: Option<&'static str> },
}

impl Counted {
    /// Counts a call that begins.
    pub(super) fn begin<B>(route: &Route, request: &Request<B>) -> Self {
        let Route::Grpc(dialect, call) = route else {
            return Self::Http {
                verb: verb(request.method()),
                path: access::known_path(request.uri().path()),
            };
        };
        let (dialect, method) = (dialect.as_str(), route.method());
        GRPC_STARTED.increment([dialect, method, ""]);
        let known = match call {
            Call::Known { method, .. } => Some(*method),
            Call::Unknown { .. } => None,
        };
        let fed = matches!(known, Some(Method::Subscribe | Method::Chat));
        Self::Grpc { dialect, method, fed, streams: known.is_some_and(Method::is_streaming) }
    }

    /// Counts its answer's head.
    pub(super) fn answer(self, response: &Response<Body>, took: Duration) {
        match self {
            Self::Grpc { dialect, method, fed, streams } => {
                let code =
                    response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
                // A feed that was opened is counted when it ends.
                if !fed || code.is_some() {
                    GRPC_HANDLED.increment([dialect, method, code_name(code.unwrap_or(Code::Ok))]);
                }
                if !streams {
                    GRPC_SECONDS.observe([method, "", ""], took);
                }
            }
            Self::Http { verb, path } => {
                let found = response.status().as_u16() < 400;
                let path = path.unwrap_or(if found { "page" } else { "other" });
                HTTP_REQUESTS.increment([verb, path, status_name(response.status().as_u16())]);
                HTTP_SECONDS.observe([path, "", ""], took);
            }
        }
    }
}

/// Counts a feed that has ended.
pub(super) fn feed_ended(dialect: Dialect, method: Method, code: Code) {
    GRPC_HANDLED.increment([dialect.as_str(), method.as_str(), code_name(code)]);
}

const fn verb(verb: &Verb) -> &'static str {
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
        503 => "503",
        504 => "504",
        505 => "505",
        507 => "507",
        _ if status < 400 => "other 2xx or 3xx",
        _ if status < 500 => "other 4xx",
        _ => "other 5xx",
    }
}

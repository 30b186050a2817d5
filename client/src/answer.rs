//! What a call was answered, and by whom.
//!
//! A GRPCChatter server names its reason in every refusal: in `ErrorInfo` where gRPC is spoken, in JSON over REST. What
//! names none came from something in between, as a proxy whose server is restarting: a page with 502, a status of its
//! own, a stream that ends without one. That says nothing about the call, so it is tried again where a server that cannot
//! be reached would be.

use std::{error::Error as _, time::Duration};

use grpcchatter_proto::v1::chat_service_client::ChatServiceClient;
use http::{HeaderMap, Response, StatusCode, header};
use serde::Deserialize;
use tonic::{
    Code, Status,
    body::Body,
    transport::{self, Channel},
};
use tonic_types::StatusExt as _;
use tower::{ServiceExt as _, util::MapResult};

use crate::{Error, Kind, Reason, Refusal};

/// The domain of the `ErrorInfo` that a GRPCChatter server attaches.
const DOMAIN: &str = "grpcchatter";

type Answer<E> = Result<Response<Body>, E>;

/// The stub, which passes on what is gRPC's alone: tonic would read the first bytes of a proxy's page as a message.
pub(crate) type Stub =
    ChatServiceClient<MapResult<Channel, fn(Answer<transport::Error>) -> Answer<NoAnswer>>>;

/// Why there is nothing that tonic could read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error(transparent)]
    Broken(#[from] transport::Error),
    #[error("{0}")]
    Foreign(Error),
}

pub(crate) fn stub(channel: Channel) -> Stub {
    Stub::new(channel.map_result(checked as fn(_) -> _))
}

fn checked(answer: Answer<transport::Error>) -> Answer<NoAnswer> {
    let answer = answer?;
    let headers = answer.headers();
    let media = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    if media.starts_with(b"application/grpc") || headers.contains_key(Status::GRPC_STATUS) {
        return Ok(answer);
    }
    Err(NoAnswer::Foreign(foreign(answer.status(), headers)))
}

/// The reason that a server of ours gave.
pub(crate) fn reason_of(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
    Reason::read(&info.reason)
}

impl Error {
    pub(crate) fn of(status: Status) -> Self {
        // A status with a source was made on this side, of what came in a call's place; a server's has none.
        if let Some(source) = status.source() {
            return match source.downcast_ref() {
                Some(NoAnswer::Foreign(error)) => error.clone(),
                _ => Self::unreachable(status),
            };
        }
        if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) {
            return Self::TimedOut;
        }
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let kind = Kind::of(status.code());
        match reason_of(&status) {
            Some(reason) => {
                let message = status.message().to_owned();
                Self::Refused(Refusal { kind, reason: Some(reason), message, retry_after })
            }
            None => in_between(kind, status.message(), retry_after),
        }
    }
}

#[derive(Deserialize)]
struct Problem {
    error: String,
    reason: String,
}

/// What an answer to a REST call says that is no success.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let problem = serde_json::from_slice(body).ok();
    let told = problem.and_then(|Problem { error, reason }| Some((error, Reason::read(&reason)?)));
    let Some((message, reason)) = told else { return foreign(status, headers) };
    let kind = match status.as_u16() {
        409 if reason == Reason::OwnsRooms => Kind::FailedPrecondition,
        _ => kind_of(status),
    };
    Error::Refused(Refusal { kind, reason: Some(reason), message, retry_after: retry_after(headers) })
}

/// An answer that no chat server gives.
fn foreign(status: StatusCode, headers: &HeaderMap) -> Error {
    if status.is_client_error() || status.is_server_error() {
        return in_between(kind_of(status), &status.to_string(), retry_after(headers));
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Error::Malformed(match (text(header::LOCATION), text(header::CONTENT_TYPE)) {
        (Some(location), _) => format!("{status}, to {location}"),
        (None, Some(media)) => format!("{status}, with {media}"),
        (None, None) => status.to_string(),
    })
}

/// What failed in between may be whole with the next call.
fn in_between(kind: Kind, what: &str, retry_after: Option<Duration>) -> Error {
    let kind = if kind == Kind::Internal { Kind::Unavailable } else { kind };
    let message = format!("no answer of the server's came through: {what}");
    Error::Refused(Refusal { kind, reason: None, message, retry_after })
}

fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        401 => Kind::Unauthenticated,
        403 => Kind::PermissionDenied,
        404 => Kind::NotFound,
        409 => Kind::AlreadyExists,
        429 | 507 => Kind::ResourceExhausted,
        501 => Kind::Unimplemented,
        // 408: a proxy gave up waiting.
        408 | 502..=504 => Kind::Unavailable,
        400..=499 => Kind::InvalidArgument,
        _ => Kind::Internal,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, io};

    use http::HeaderValue;
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_rest_refusal_keeps_sentence_reason_and_delay() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let body = br#"{"error":"too many attempts","reason":"RATE_LIMITED"}"#;
        let error = refusal(StatusCode::TOO_MANY_REQUESTS, &headers, body);
        assert_eq!(error.reason(), Some(&Reason::RateLimited));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(error.to_string(), "too many attempts");
        assert!(error.is_retryable());
    }

    #[test]
    fn a_proxys_page_is_tried_again() {
        for status in [408, 429, 500, 502, 503, 504, 520].map(|code| StatusCode::from_u16(code).unwrap()) {
            let error = refusal(status, &HeaderMap::new(), b"<html>");
            assert!(error.is_retryable() && error.reason().is_none(), "{error:?}");
        }
        for status in [400, 401, 403, 404, 501].map(|code| StatusCode::from_u16(code).unwrap()) {
            assert!(!refusal(status, &HeaderMap::new(), b"<html>").is_retryable(), "{status}");
        }
    }

    #[test]
    fn a_page_that_is_no_refusal_is_not_a_chat_servers() {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static("https://chat.example/"));
        let error = refusal(StatusCode::MOVED_PERMANENTLY, &headers, b"");
        assert!(!error.is_retryable());
        assert!(error.to_string().ends_with("301 Moved Permanently, to https://chat.example/"), "{error}");
    }

    #[test]
    fn what_no_server_of_ours_said_is_tried_again_where_another_answer_may_come() {
        for code in [Code::Internal, Code::Unknown, Code::Unavailable, Code::DeadlineExceeded] {
            let error = Error::of(Status::new(code, "upstream connect error"));
            assert!(error.is_retryable() && error.reason().is_none(), "{error:?}");
        }
        for code in [Code::Unimplemented, Code::PermissionDenied, Code::Unauthenticated, Code::NotFound] {
            assert!(!Error::of(Status::new(code, "no")).is_retryable(), "{code:?}");
        }
        let details = ErrorDetails::with_error_info("INTERNAL", DOMAIN, HashMap::new());
        let error = Error::of(Status::with_error_details(Code::Internal, "a failure", details));
        assert!(!error.is_retryable(), "{error:?}");
    }

    #[test]
    fn a_reason_of_another_domain_is_not_ours() {
        let details = ErrorDetails::with_error_info("BANNED", "proxy.example", HashMap::new());
        let error = Error::of(Status::with_error_details(Code::PermissionDenied, "no", details));
        assert_eq!(error.reason(), None);
    }

    #[test]
    fn a_broken_connection_is_unreachable() {
        let status = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        assert!(matches!(Error::of(status), Error::Unreachable(_)));
    }
}

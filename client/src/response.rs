//! Turns responses into errors, and distinguishes the server's responses from a proxy's.
//!
//! A GRPCChatter server names a reason in every refusal: in `ErrorInfo` over gRPC, in JSON over REST. A failure
//! without a reason comes from an intermediary, such as a proxy whose server is restarting: a 502 page, a status of
//! its own, or a stream that ends without a status. It says nothing about the call, so the call is retried wherever
//! it would be retried for an unreachable server.

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

type HttpResult<E> = Result<Response<Body>, E>;

/// The stub passes on gRPC responses only: tonic would parse the first bytes of a proxy's page as a message.
pub(crate) type Stub =
    ChatServiceClient<MapResult<Channel, fn(HttpResult<transport::Error>) -> HttpResult<NotGrpc>>>;

/// Why there is no gRPC response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotGrpc {
    #[error(transparent)]
    Broken(#[from] transport::Error),
    #[error("{0}")]
    NotFromServer(Error),
}

pub(crate) fn stub(channel: Channel) -> Stub {
    Stub::new(channel.map_result(require_grpc as fn(_) -> _))
}

fn require_grpc(response: HttpResult<transport::Error>) -> HttpResult<NotGrpc> {
    let response = response?;
    let headers = response.headers();
    let media = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    if media.starts_with(b"application/grpc") || headers.contains_key(Status::GRPC_STATUS) {
        return Ok(response);
    }
    Err(NotGrpc::NotFromServer(not_from_server(response.status(), headers)))
}

/// The reason that a GRPCChatter server gave.
pub(crate) fn reason_of(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
    Reason::parse(&info.reason)
}

impl Error {
    pub(crate) fn of(status: Status) -> Self {
        // tonic makes a status with a source when no response arrived. A server's status has none.
        if let Some(source) = status.source() {
            return match source.downcast_ref() {
                Some(NotGrpc::NotFromServer(error)) => error.clone(),
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
            None => intermediary_failure(kind, status.message(), retry_after),
        }
    }
}

#[derive(Deserialize)]
struct Problem {
    error: String,
    reason: String,
}

/// The error of an unsuccessful REST response.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let problem = serde_json::from_slice(body).ok();
    let refusal = problem.and_then(|Problem { error, reason }| Some((error, Reason::parse(&reason)?)));
    let Some((message, reason)) = refusal else { return not_from_server(status, headers) };
    let kind = match status.as_u16() {
        409 if reason == Reason::OwnsRooms => Kind::FailedPrecondition,
        _ => kind_of(status),
    };
    Error::Refused(Refusal { kind, reason: Some(reason), message, retry_after: retry_after(headers) })
}

/// The error for a response that did not come from a chat server.
fn not_from_server(status: StatusCode, headers: &HeaderMap) -> Error {
    if status.is_client_error() || status.is_server_error() {
        return intermediary_failure(kind_of(status), &status.to_string(), retry_after(headers));
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Error::Malformed(match (text(header::LOCATION), text(header::CONTENT_TYPE)) {
        (Some(location), _) => format!("{status}, to {location}"),
        (None, Some(media)) => format!("{status}, with {media}"),
        (None, None) => status.to_string(),
    })
}

/// The error for a failure at an intermediary. An internal failure there may be gone with the next call.
fn intermediary_failure(kind: Kind, description: &str, retry_after: Option<Duration>) -> Error {
    let kind = if kind == Kind::Internal { Kind::Unavailable } else { kind };
    let message = format!("no response from the server came through: {description}");
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
        // 408: a proxy stopped waiting for the server.
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
    fn an_error_page_of_a_proxy_is_retryable() {
        for status in [408, 429, 500, 502, 503, 504, 520].map(|code| StatusCode::from_u16(code).unwrap()) {
            let error = refusal(status, &HeaderMap::new(), b"<html>");
            assert!(error.is_retryable() && error.reason().is_none(), "{error:?}");
        }
        for status in [400, 401, 403, 404, 501].map(|code| StatusCode::from_u16(code).unwrap()) {
            assert!(!refusal(status, &HeaderMap::new(), b"<html>").is_retryable(), "{status}");
        }
    }

    #[test]
    fn a_redirect_is_malformed() {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static("https://chat.example/"));
        let error = refusal(StatusCode::MOVED_PERMANENTLY, &headers, b"");
        assert!(!error.is_retryable());
        assert!(error.to_string().ends_with("301 Moved Permanently, to https://chat.example/"), "{error}");
    }

    #[test]
    fn a_status_without_a_reason_is_retryable_if_the_next_may_differ() {
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
    fn a_reason_of_another_domain_is_ignored() {
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

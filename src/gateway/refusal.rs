//! Refusals: the one table from [`ErrorKind`] to a gRPC code and an HTTP status, and the functions that refuse a call.
//!
//! Before HTTP has begun, `listener/lingering_close.rs` writes a refusal of its own, with this file's JSON.

use std::{borrow::Cow, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{self, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt as _};
use utoipa::ToSchema;

use super::{
    body::Body,
    route::{Dialect, HttpRefusal},
};
use crate::{
    metrics::REFUSALS,
    model::{Error, ErrorKind, Payer},
};

/// The `domain` of every `google.rpc.ErrorInfo`.
const DOMAIN: &str = "grpcchatter";

const fn codes(kind: ErrorKind) -> (Code, StatusCode) {
    match kind {
        ErrorKind::InvalidArgument => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
        ErrorKind::Unauthenticated => (Code::Unauthenticated, StatusCode::UNAUTHORIZED),
        ErrorKind::PermissionDenied => (Code::PermissionDenied, StatusCode::FORBIDDEN),
        ErrorKind::NotFound => (Code::NotFound, StatusCode::NOT_FOUND),
        ErrorKind::AlreadyExists => (Code::AlreadyExists, StatusCode::CONFLICT),
        ErrorKind::FailedPrecondition => (Code::FailedPrecondition, StatusCode::CONFLICT),
        ErrorKind::ResourceExhausted => (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS),
        ErrorKind::TooLarge => (Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE),
        ErrorKind::StorageFull => (Code::ResourceExhausted, StatusCode::INSUFFICIENT_STORAGE),
        ErrorKind::Unavailable => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        ErrorKind::Unimplemented => (Code::Unimplemented, StatusCode::NOT_IMPLEMENTED),
        ErrorKind::Aborted => (Code::Aborted, StatusCode::CONFLICT),
        ErrorKind::DeadlineExceeded => (Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT),
        ErrorKind::Internal => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        REFUSALS.increment([error.reason()]);
        let sentence = error.to_string();
        let mut details = ErrorDetails::new();
        details.set_error_info(error.reason(), DOMAIN, []);
        if let Some(field) = error.field() {
            details.add_bad_request_violation(field, &sentence);
        }
        if let Some(delay) = error.retry_after() {
            details.set_retry_info(Some(delay));
        }
        let mut status = Self::with_error_details(codes(error.kind()).0, sentence, details);
        if matches!(error, Error::UnsupportedEncoding) {
            status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("identity"));
        }
        status
    }
}

/// Refuses a call in its dialect, below the translation of gRPC-web.
pub(super) fn refuse(dialect: Dialect, error: Error) -> http::Response<Body> {
    match dialect {
        Dialect::Rest => refuse_rest(&error).map(Body::from),
        Dialect::Grpc | Dialect::GrpcWeb | Dialect::GrpcWebText => {
            Status::from(error).into_http::<tonic::body::Body>().map(Body::from)
        }
    }
}

/// Refuses a call in its dialect, above the translation of gRPC-web. Untranslated, a status without messages differs from
/// gRPC-web's only in its content type.
pub(super) fn refuse_untranslated(dialect: Dialect, error: Error) -> http::Response<Body> {
    let mut response = refuse(dialect, error);
    let content_type = match dialect {
        Dialect::GrpcWeb => "application/grpc-web+proto",
        Dialect::GrpcWebText => "application/grpc-web-text+proto",
        Dialect::Grpc | Dialect::Rest => return response,
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Refuses a request that breaks a rule of HTTP.
pub(super) fn refuse_http(refusal: HttpRefusal) -> http::Response<Body> {
    let mut response = refuse_as(refusal.status, refusal.sentence, refusal.reason);
    if let Some((name, value)) = refusal.header {
        response.headers_mut().insert(name, value);
    }
    response.map(Body::from)
}

/// Refuses a REST call.
pub(super) fn refuse_rest(error: &Error) -> Response {
    refuse_rest_as(error, codes(error.kind()).1, &error.to_string())
}

/// Refuses a REST call with a status or a sentence of the original's instead of the table's.
pub(super) fn refuse_rest_as(error: &Error, status: StatusCode, sentence: &str) -> Response {
    let mut response = refuse_as(status, sentence, error.reason());
    if let Some(delay) = error.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Refuses a REST call for a reason that is not in the table, such as a wrong HTTP method.
pub(super) fn refuse_as(status: StatusCode, sentence: &str, reason: &'static str) -> Response {
    let mut response = (status, Json(Refusal::new(sentence, reason))).into_response();
    response.extensions_mut().insert(Reason(reason));
    response
}

/// The body of every refusal over REST.
#[derive(Serialize, ToSchema)]
pub(super) struct Refusal<'a> {
    /// A sentence for people.
    error: Cow<'a, str>,
    /// A stable name for programs.
    #[schema(example = "RATE_LIMITED", pattern = "^[A-Z][A-Z0-9_]*$")]
    reason: Cow<'static, str>,
}

impl<'a> Refusal<'a> {
    /// Makes the body of a refusal, and counts the refusal.
    pub(super) fn new(sentence: &'a str, reason: &'static str) -> Self {
        REFUSALS.increment([reason]);
        Self { error: sentence.into(), reason: reason.into() }
    }
}

/// The reason of a refusal over REST, in the response's extensions.
#[derive(Clone, Copy, Debug)]
struct Reason(&'static str);

/// The payer of a call that was refused for its rate, in the response's extensions. The response may be delayed.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateLimitedPayer(pub(super) Payer);

/// Returns the reason of a refusal; none for any other response.
pub(super) fn reason_of<B>(response: &http::Response<B>) -> Option<Cow<'static, str>> {
    if let Some(Reason(reason)) = response.extensions().get() {
        return Some((*reason).into());
    }
    let details = response.extensions().get::<Status>()?.get_error_details();
    details.error_info().map(|info| info.reason.clone().into())
}

/// Returns the reason of a refusal for a limit of the caller's; none for any other response.
pub(super) fn limit_reason<B>(response: &http::Response<B>) -> Option<&'static str> {
    let may_be_limit = response.status() == StatusCode::TOO_MANY_REQUESTS
        || response
            .extensions()
            .get::<Status>()
            .is_some_and(|status| status.code() == Code::ResourceExhausted);
    let reason = if may_be_limit { reason_of(response)? } else { return None };
    LIMITS.iter().find(|limit| **limit == reason).copied()
}

/// Returns whether a response refuses a call for its rate.
pub(super) fn is_rate_limited<B>(response: &http::Response<B>) -> bool {
    if let Some(status) = response.extensions().get::<Status>() {
        let reason = |details: ErrorDetails| details.error_info().map(|info| info.reason.clone());
        return status.code() == Code::ResourceExhausted
            && reason(status.get_error_details()).as_deref() == Some(RATE_LIMITED);
    }
    response.status() == StatusCode::TOO_MANY_REQUESTS && response.headers().contains_key(RETRY_AFTER)
}

/// The reasons of [`Error::is_limit`].
const LIMITS: [&str; 5] =
    [RATE_LIMITED, "TOO_MANY_ROOMS", "TOO_MANY_MEMBERSHIPS", "TOO_MANY_STREAMS", "TOO_MANY_UNANSWERED"];

/// The reason of [`Error::RateLimited`].
const RATE_LIMITED: &str = Error::RateLimited { retry_after: Duration::ZERO }.reason();

/// Rounds up, so that a client that waits as long as `Retry-After` says has waited long enough.
fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs() + u64::from(delay.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{NameFlaw, ShortCode, TokenKind};

    /// Every error with its code, status and reason, as the API promises them.
    fn promised_codes() -> Vec<(Error, Code, u16, &'static str)> {
        let code = || ShortCode::trusted("Cr7nvv");
        let (service, method) = ("s".to_owned(), "m".to_owned());
        vec![
            (Error::InvalidUserName, Code::InvalidArgument, 400, "INVALID_USER_NAME"),
            (
                Error::FlawedUserName(NameFlaw::Character('\u{200b}', "blank")),
                Code::InvalidArgument,
                400,
                "INVALID_USER_NAME",
            ),
            (Error::InvalidPassword, Code::InvalidArgument, 400, "INVALID_PASSWORD"),
            (Error::InvalidRoomPassword, Code::InvalidArgument, 400, "INVALID_PASSWORD"),
            (Error::InvalidRoomName, Code::InvalidArgument, 400, "INVALID_ROOM_NAME"),
            (Error::FlawedRoomName(NameFlaw::Blank), Code::InvalidArgument, 400, "INVALID_ROOM_NAME"),
            (Error::InvalidShortCode, Code::InvalidArgument, 400, "INVALID_SHORT_CODE"),
            (Error::InvalidMessage, Code::InvalidArgument, 400, "INVALID_MESSAGE"),
            (Error::EmptyMessage, Code::InvalidArgument, 400, "INVALID_MESSAGE"),
            (Error::MessageTooLong { limit: 1 }, Code::InvalidArgument, 400, "MESSAGE_TOO_LONG"),
            (Error::InvalidClientMessageId, Code::InvalidArgument, 400, "INVALID_CLIENT_MESSAGE_ID"),
            (Error::InvalidJson, Code::InvalidArgument, 400, "INVALID_JSON"),
            (Error::InvalidField { field: "f", problem: "p" }, Code::InvalidArgument, 400, "INVALID_FIELD"),
            (Error::TokenMissing, Code::Unauthenticated, 401, "TOKEN_MISSING"),
            (Error::TokenInvalid, Code::Unauthenticated, 401, "TOKEN_INVALID"),
            (Error::TokenExpired, Code::Unauthenticated, 401, "TOKEN_EXPIRED"),
            (Error::TokenRevoked, Code::Unauthenticated, 401, "TOKEN_REVOKED"),
            (
                Error::TokenWrongKind { expected: TokenKind::Chat },
                Code::Unauthenticated,
                401,
                "TOKEN_WRONG_KIND",
            ),
            (Error::TwoTokens, Code::Unauthenticated, 401, "TWO_TOKENS"),
            (Error::InvalidCredentials, Code::Unauthenticated, 401, "INVALID_CREDENTIALS"),
            (Error::WrongRoomPassword(code()), Code::PermissionDenied, 403, "WRONG_ROOM_PASSWORD"),
            (Error::NotRoomOwner(code()), Code::PermissionDenied, 403, "NOT_ROOM_OWNER"),
            (Error::NotAMember(code()), Code::PermissionDenied, 403, "NOT_A_MEMBER"),
            (Error::Banned(code()), Code::PermissionDenied, 403, "BANNED"),
            (Error::ForeignOrigin, Code::PermissionDenied, 403, "FOREIGN_ORIGIN"),
            (Error::RoomNotFound(code()), Code::NotFound, 404, "ROOM_NOT_FOUND"),
            (Error::UserNotFound, Code::NotFound, 404, "USER_NOT_FOUND"),
            (Error::PathNotFound, Code::NotFound, 404, "PATH_NOT_FOUND"),
            (Error::ServiceNotFound, Code::NotFound, 404, "SERVICE_NOT_FOUND"),
            (Error::ClientMessageIdReused, Code::AlreadyExists, 409, "CLIENT_MESSAGE_ID_REUSED"),
            (Error::UserNameTaken, Code::AlreadyExists, 409, "USER_NAME_TAKEN"),
            (Error::OwnsRooms, Code::FailedPrecondition, 409, "OWNS_ROOMS"),
            (
                Error::RateLimited { retry_after: Duration::from_millis(20) },
                Code::ResourceExhausted,
                429,
                "RATE_LIMITED",
            ),
            (Error::TooManyRooms { limit: 1 }, Code::ResourceExhausted, 429, "TOO_MANY_ROOMS"),
            (Error::TooManyMemberships { limit: 1 }, Code::ResourceExhausted, 429, "TOO_MANY_MEMBERSHIPS"),
            (Error::TooManyStreams { limit: 1 }, Code::ResourceExhausted, 429, "TOO_MANY_STREAMS"),
            (Error::TooManyUnanswered { limit: 1 }, Code::ResourceExhausted, 429, "TOO_MANY_UNANSWERED"),
            (Error::TooLarge { limit: 1 }, Code::ResourceExhausted, 413, "TOO_LARGE"),
            (Error::StorageFull, Code::ResourceExhausted, 507, "STORAGE_FULL"),
            (Error::Overloaded, Code::Unavailable, 503, "OVERLOADED"),
            (Error::DatabaseUnavailable, Code::Unavailable, 503, "DATABASE_UNAVAILABLE"),
            (Error::Draining, Code::Unavailable, 503, "DRAINING"),
            (Error::StreamBehind, Code::Unavailable, 503, "STREAM_BEHIND"),
            (Error::UnknownMethod { service, method }, Code::Unimplemented, 501, "UNKNOWN_METHOD"),
            (Error::UnsupportedEncoding, Code::Unimplemented, 501, "UNSUPPORTED_ENCODING"),
            (Error::BidiNeedsHttp2, Code::Unimplemented, 501, "BIDI_NEEDS_HTTP2"),
            (Error::LogReset, Code::Aborted, 409, "LOG_RESET"),
            (Error::DeadlineExceeded, Code::DeadlineExceeded, 504, "DEADLINE_EXCEEDED"),
            (Error::Internal, Code::Internal, 500, "INTERNAL"),
        ]
    }

    #[tokio::test]
    async fn both_dialects_refuse_as_the_api_promises() {
        for (error, code, http_status, reason) in promised_codes() {
            let sentence = error.to_string();
            let response = refuse_rest(&error);
            assert_eq!(response.status(), http_status, "{error:?}");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), error.retry_after().is_some());
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body, json!({ "error": sentence, "reason": reason }));
            let limit = error.is_limit().then_some(reason);
            assert_eq!(limit_reason(&refuse_rest(&error)), limit);

            let status = Status::from(error.clone());
            assert_eq!((status.code(), status.message()), (code, sentence.as_str()));
            let response = status.clone().into_http::<tonic::body::Body>();
            assert_eq!((reason_of(&response).as_deref(), limit_reason(&response)), (Some(reason), limit));
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.domain.as_str(), info.reason.as_str()), ("grpcchatter", reason));
            let field = details.bad_request().map(|bad| bad.field_violations[0].field.as_str());
            assert_eq!(field, error.field());
            let delay = details.retry_info().and_then(|info| info.retry_delay);
            assert_eq!(delay, error.retry_after());
        }
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        for (millis, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}

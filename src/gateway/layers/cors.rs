//! Cross-origin requests from the origins in CORS_ORIGINS.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method as Verb, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::trace_context::{TRACEPARENT, TRACERESPONSE, TRACESTATE};
use crate::gateway::credentials::TOKEN;

/// Returns the layer that answers preflight requests from these origins, and lets their pages read responses.
pub(in crate::gateway) fn layer(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let name = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Verb::GET, Verb::POST, Verb::PUT, Verb::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            TOKEN,
            name("x-grpc-web"),
            name("x-user-agent"),
            name("grpc-timeout"),
            TRACEPARENT,
            TRACESTATE,
        ])
        .expose_headers([
            name("grpc-status"),
            name("grpc-message"),
            name("grpc-status-details-bin"),
            name("x-request-id"),
            TRACERESPONSE,
            header::RETRY_AFTER,
        ])
        .max_age(Duration::from_secs(7_200))
}

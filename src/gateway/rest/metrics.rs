//! GET /metrics: what the process has counted, for Prometheus.

use std::{fmt, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::Rest;
use crate::{
    gateway::{
        ClientAddress,
        status::{refuse, refuse_plainly},
    },
    metrics::{self, Levels},
    model::Error,
};

/// Tells what stands at this moment.
pub type Gauges = Arc<dyn Fn() -> Levels + Send + Sync>;

/// The bearer token that /metrics asks for. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct MetricsToken(String);

impl MetricsToken {
    /// Wraps a text.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Compares digests, so that the time it takes says nothing about the text.
    fn is(&self, shown: &str) -> bool {
        Sha256::digest(&self.0) == Sha256::digest(shown)
    }
}

impl fmt::Debug for MetricsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsToken(…)")
    }
}

/// Shows what the process has counted
#[utoipa::path(
    get,
    path = "/metrics",
    responses(
        (status = 200, description = "Prometheus' text format", content_type = "text/plain"),
        (status = 401, description = "METRICS_TOKEN is set, and this is not it", body = super::openapi::Refusal),
        (status = 403, description = "METRICS_TOKEN is not set, and this is not the same machine", body = super::openapi::Refusal),
        (status = 404, description = "METRICS_ADDRESS is set: they are there", body = super::openapi::Refusal),
    ),
    security((), ("metrics" = []))
)]
pub(super) async fn show(
    State(rest): State<Rest>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
) -> Response {
    match &rest.metrics_token {
        Some(token) => {
            let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            match shown.map(|shown| shown.strip_prefix("Bearer ").is_some_and(|shown| token.is(shown))) {
                None => return refuse(&Error::TokenMissing),
                Some(false) => return refuse(&Error::TokenInvalid),
                Some(true) => {}
            }
        }
        // Whoever comes through a proxy on this machine is from elsewhere.
        None if !address.is_loopback()
            || headers.contains_key(header::FORWARDED)
            || headers.contains_key("x-forwarded-for") =>
        {
            return refuse_plainly(
                StatusCode::FORBIDDEN,
                "without METRICS_TOKEN the figures are told on this machine alone",
                "METRICS_NOT_ALLOWED",
            );
        }
        None => {}
    }
    let content_type = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([content_type], metrics::write((rest.gauges)())).into_response()
}

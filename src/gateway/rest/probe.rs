//! The probes of a load balancer: GET /livez and /readyz.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{response::or_refusal, state::RestState};
use crate::gateway::{refusal::Refusal, route::paths};

#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
struct Probe {
    status: &'static str,
}

/// Returns 200 while the process is alive
#[utoipa::path(
    get,
    path = paths::LIVEZ,
    responses(
        (status = 200, description = "the process is alive", body = Probe),
    ),
)]
pub(super) async fn live() -> Response {
    Json(Probe { status: "ok" }).into_response()
}

/// Returns whether the server is ready for requests
#[utoipa::path(
    get,
    path = paths::READYZ,
    responses(
        (status = 200, description = "the server is ready", body = Probe),
        (status = 503, description = "not now: Retry-After says when", body = Refusal),
    ),
)]
pub(super) async fn ready(State(rest): State<RestState>) -> Response {
    or_refusal((rest.readiness)().await, |()| Json(Probe { status: "ok" }).into_response())
}

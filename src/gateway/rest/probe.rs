use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Rest, answer::or_refusal};
use crate::model::Result;

/// Says whether requests should be sent here: the database answers, and nothing is being shut down.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

#[derive(Serialize, ToSchema)]
struct Health {
    status: &'static str,
}

/// Says that the process answers
#[utoipa::path(
    get,
    path = "/livez",
    responses(
        (status = 200, description = "it does", body = Health),
    ),
)]
pub(super) async fn live() -> Response {
    Json(Health { status: "ok" }).into_response()
}

/// Says whether requests are welcome
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "they are", body = Health),
        (status = 503, description = "not now: Retry-After says when", body = super::openapi::Refusal),
    ),
)]
pub(super) async fn ready(State(rest): State<Rest>) -> Response {
    or_refusal((rest.readiness)().await, |()| Json(Health { status: "ok" }).into_response())
}

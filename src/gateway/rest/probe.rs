use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::{Rest, answer::or_refusal};
use crate::model::Result;

/// Says whether requests should be sent here: the database answers, and nothing is being shut down.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// GET /livez: the process answers.
pub(super) async fn live() -> Response {
    Json(Health { status: "ok" }).into_response()
}

/// GET /readyz: requests are welcome.
pub(super) async fn ready(State(rest): State<Rest>) -> Response {
    or_refusal((rest.readiness)().await, |()| Json(Health { status: "ok" }).into_response())
}

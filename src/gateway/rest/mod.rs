//! REST: accounts and sessions, probes, metrics, and the page.
//!
//! The paths, keys, statuses and sentences of `/register` and `/login` are the original's, byte for byte.

mod openapi;
mod account;
mod session;
mod metrics;
mod probe;
mod page;
mod folder;
mod static_file;
mod extractors;
mod body;
mod response;
mod rules;
mod state;
#[cfg(test)]
mod tests;

use axum::{
    Router,
    response::{IntoResponse as _, Response},
    routing::{get, options, post, put},
};
use http::{StatusCode, header::ALLOW};

pub(super) use body::MAX_BYTES;
pub use openapi::openapi;
pub(super) use state::RestState;
pub use state::{MetricsToken, ReadGauges, Readiness};

use super::{
    refusal::{refuse_as, refuse_rest},
    route::paths,
};
use crate::model::Error;

/// Builds the router. The extensions of its requests hold a [`ClientAddress`](super::peer::ClientAddress) and, where the
/// access table requires a user token, a [`UserIdentity`](crate::model::UserIdentity).
pub(super) fn router(state: RestState) -> Router {
    Router::new()
        .route(paths::REGISTER, post(account::register))
        .route(paths::LOGIN, post(session::log_in))
        .route(paths::REFRESH, post(session::refresh))
        .route(paths::LOGOUT, post(session::log_out))
        .route(paths::ACCOUNT, get(account::show).delete(account::delete))
        .route(paths::ACCOUNT_DELETE, post(account::delete_by_post))
        .route(paths::ACCOUNT_PASSWORD, put(account::change_password))
        .route(paths::LIVEZ, get(probe::live))
        .route(paths::READYZ, get(probe::ready))
        .route(paths::METRICS, get(metrics::show))
        .route(paths::OPENAPI, get(openapi::description))
        .route(paths::DOCS, get(openapi::page))
        .merge(page::router(state.web_dir.clone()))
        // The default health check of HAProxy.
        .route(
            "/",
            options(async || (StatusCode::NO_CONTENT, [(ALLOW, "GET, HEAD, OPTIONS")]).into_response()),
        )
        .fallback(async || refuse_rest(&Error::PathNotFound))
        .method_not_allowed_fallback(async || method_not_allowed())
        .with_state(state)
}

/// Refuses a method that the path does not take; axum adds `Allow`.
fn method_not_allowed() -> Response {
    refuse_as(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method: see Allow",
        "METHOD_NOT_ALLOWED",
    )
}

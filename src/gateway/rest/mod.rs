//! The REST dialect: accounts and sessions, probes, and the page.
//!
//! The paths, keys, statuses and sentences of `/register` and `/login` are the original's, byte for byte.

mod account;
mod answer;
mod body;
mod caller;
mod document;
mod folder;
mod metrics;
mod openapi;
mod page;
mod probe;
mod session;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use axum::{
    Router,
    response::{IntoResponse as _, Response},
    routing::{get, options, post, put},
};
use http::{StatusCode, header::ALLOW};

pub(super) use body::MAX_BYTES;
pub use metrics::{Gauges, MetricsToken};
pub use openapi::openapi;
pub use probe::Readiness;

use super::status::{refuse, refuse_plainly};
use crate::{domain::Accounts, model::Error};

/// What the handlers need.
#[derive(Clone)]
pub(super) struct Rest {
    pub(super) accounts: Accounts,
    pub(super) readiness: Readiness,
    pub(super) gauges: Gauges,
    /// The token that /metrics asks for; none: this machine alone.
    pub(super) metrics_token: Option<MetricsToken>,
    /// The folder that holds the page in place of the one in the program.
    pub(super) web_dir: Option<PathBuf>,
}

/// Builds the router. A request to it carries a [`ClientAddress`](super::ClientAddress) and, where the access
/// table asks for a user token, a [`UserIdentity`](crate::model::UserIdentity) in its extensions.
pub(super) fn router(rest: Rest) -> Router {
    Router::new()
        .route("/register", post(account::register))
        .route("/login", post(session::log_in))
        .route("/refresh", post(session::refresh))
        .route("/logout", post(session::log_out))
        .route("/account", get(account::show).delete(account::delete))
        .route("/account/password", put(account::change_password))
        .route("/livez", get(probe::live))
        .route("/readyz", get(probe::ready))
        .route("/metrics", get(metrics::show))
        .route("/openapi.json", get(openapi::description))
        .route("/docs", get(openapi::page))
        .merge(page::router(rest.web_dir.clone()))
        // What HAProxy asks for by default, to see whether a server is there.
        .route(
            "/",
            options(async || (StatusCode::NO_CONTENT, [(ALLOW, "GET, HEAD, OPTIONS")]).into_response()),
        )
        .fallback(async || refuse(&Error::PathNotFound))
        .method_not_allowed_fallback(async || method_not_allowed())
        .with_state(rest)
}

/// Answers a call with a method that the path does not take; axum adds `Allow`.
fn method_not_allowed() -> Response {
    refuse_plainly(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method: see Allow",
        "METHOD_NOT_ALLOWED",
    )
}

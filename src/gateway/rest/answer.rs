//! What the calls answer. Keys stand in the original's order.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::header::CACHE_CONTROL;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::status::refuse;
use crate::{
    domain::LogIn,
    model::{Account, Error, Result},
};

#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub(super) struct AccountAnswer {
    #[schema(minimum = 1)]
    id: i64,
    #[schema(format = DateTime)]
    created_at: String,
    user_name: String,
    #[schema(value_type = RoleName)]
    role: &'static str,
}

/// What an account may do.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "UPPERCASE")]
#[expect(dead_code, reason = "its shape is read by the macro alone")]
enum RoleName {
    User,
    Admin,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LogIn)]
pub(super) struct LogInAnswer {
    /// The user token.
    token: String,
    /// When the user token expires.
    #[schema(format = DateTime)]
    expires_at: String,
    /// For /refresh: good once.
    refresh_token: String,
}

pub(super) fn account(account: &Account) -> Response {
    Json(AccountAnswer {
        id: account.id.0,
        created_at: account.created_at.rfc3339(),
        user_name: account.user_name.as_str().to_owned(),
        role: account.role.as_str(),
    })
    .into_response()
}

pub(super) fn log_in(done: LogIn) -> Response {
    let expires_at = done.expires_at.rfc3339();
    let answer = LogInAnswer { token: done.token, expires_at, refresh_token: done.refresh_token };
    // Tokens are not for caches (RFC 6749, section 5.1).
    ([(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

/// Answers a failure as the tables say.
pub(super) fn or_refusal<T>(result: Result<T>, answer: impl FnOnce(T) -> Response) -> Response {
    result.map_or_else(|error| refuse(&error), answer)
}

/// The original's words before a sentence about the body.
pub(super) fn invalid_body(error: &Error) -> String {
    format!("Invalid request body:{error}")
}

//! The JSON responses of the calls. Keys stand in the original's order.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::header::CACHE_CONTROL;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::refusal::refuse_rest;
use crate::{
    domain::IssuedTokens,
    model::{Account, Error, Result, Role},
};

#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub(super) struct AccountResponse {
    #[schema(minimum = 1)]
    id: i64,
    #[schema(format = DateTime)]
    created_at: String,
    user_name: String,
    role: RoleName,
}

/// What an account may do.
#[derive(Serialize, ToSchema)]
#[schema(as = Role)]
#[serde(rename_all = "UPPERCASE")]
enum RoleName {
    User,
    Admin,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LogIn)]
pub(super) struct LogInResponse {
    /// The user token.
    token: String,
    /// When the user token expires.
    #[schema(format = DateTime)]
    expires_at: String,
    /// For /refresh: good once.
    refresh_token: String,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::User => Self::User,
            Role::Admin => Self::Admin,
        }
    }
}

/// Responds with an account.
pub(super) fn account(account: &Account) -> Response {
    Json(AccountResponse {
        id: account.id.0,
        created_at: account.created_at.rfc3339(),
        user_name: account.user_name.as_str().to_owned(),
        role: account.role.into(),
    })
    .into_response()
}

/// Responds with a pair of tokens, which no cache may store (RFC 6749, section 5.1).
pub(super) fn log_in(tokens: IssuedTokens) -> Response {
    let body = LogInResponse {
        token: tokens.token,
        expires_at: tokens.expires_at.rfc3339(),
        refresh_token: tokens.refresh_token,
    };
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Responds with a result: refuses an error.
pub(super) fn or_refusal<T>(result: Result<T>, respond: impl FnOnce(T) -> Response) -> Response {
    result.map_or_else(|error| refuse_rest(&error), respond)
}

/// Returns the sentence of an invalid body, in the original's words.
pub(super) fn invalid_body(error: &Error) -> String {
    format!("Invalid request body:{error}")
}

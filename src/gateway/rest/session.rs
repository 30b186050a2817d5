//! The calls of sessions: log in, refresh, log out.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    body::JsonBody,
    response::{self, or_refusal},
    state::RestState,
};
use crate::{
    gateway::{
        peer::ClientAddress,
        refusal::{Refusal, refuse_rest, refuse_rest_as},
        route::paths,
    },
    model::{Error, UserIdentity},
};

#[derive(Deserialize, ToSchema)]
pub(super) struct Credentials {
    #[serde(default)]
    #[schema(example = "walker1", required)]
    user_name: String,
    #[serde(default)]
    #[schema(example = "Str0ng!pass", required)]
    password: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct RefreshToken {
    #[serde(default)]
    #[schema(required)]
    refresh_token: String,
}

/// Opens a session
#[utoipa::path(
    post,
    path = paths::LOGIN,
    request_body = Credentials,
    responses(
        (status = 200, description = "a pair of tokens", body = response::LogInResponse),
        (status = 401, description = "the password or the token is wrong", body = Refusal),
    ),
)]
pub(super) async fn log_in(
    State(rest): State<RestState>,
    ClientAddress(address): ClientAddress,
    JsonBody(Credentials { user_name, password }): JsonBody<Credentials>,
) -> Response {
    match rest.accounts.log_in(&user_name, &password, address).await {
        Ok(tokens) => response::log_in(tokens),
        Err(error @ Error::InvalidCredentials) => {
            refuse_rest_as(&error, StatusCode::UNAUTHORIZED, &format!("Unauthorized:{error}"))
        }
        Err(error) => refuse_rest(&error),
    }
}

/// Renews a session: the refresh token changes with it
#[utoipa::path(
    post,
    path = paths::REFRESH,
    request_body = RefreshToken,
    responses(
        (status = 200, description = "a pair of tokens", body = response::LogInResponse),
        (status = 401, description = "the password or the token is wrong", body = Refusal),
    ),
)]
pub(super) async fn refresh(
    State(rest): State<RestState>,
    ClientAddress(address): ClientAddress,
    JsonBody(RefreshToken { refresh_token }): JsonBody<RefreshToken>,
) -> Response {
    or_refusal(rest.accounts.refresh(&refresh_token, address).await, response::log_in)
}

/// Ends the session, with every token made from it
#[utoipa::path(
    post,
    path = paths::LOGOUT,
    responses(
        (status = 204, description = "done"),
    ),
    security(("user" = []))
)]
pub(super) async fn log_out(
    State(rest): State<RestState>,
    ClientAddress(address): ClientAddress,
    caller: UserIdentity,
) -> Response {
    or_refusal(rest.accounts.log_out(&caller, address).await, |()| StatusCode::NO_CONTENT.into_response())
}

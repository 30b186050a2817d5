use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use utoipa::ToSchema;

use super::{
    Rest,
    answer::{self, or_refusal},
    body::Fields,
};
use crate::{
    gateway::{
        ClientAddress,
        status::{refuse, refuse_with},
    },
    model::{Error, UserIdentity},
};

#[derive(ToSchema)]
#[expect(dead_code, reason = "its shape is read by the macro alone")]
struct Credentials {
    #[schema(example = "walker1")]
    user_name: String,
    #[schema(example = "Str0ng!pass")]
    password: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "its shape is read by the macro alone")]
struct RefreshToken {
    refresh_token: String,
}

/// Opens a session
#[utoipa::path(
    post,
    path = "/login",
    request_body = Credentials,
    responses(
        (status = 200, description = "a pair of tokens", body = answer::LogInAnswer),
        (status = 401, description = "the password or the token is not good", body = super::openapi::Refusal),
    ),
)]
pub(super) async fn log_in(
    State(rest): State<Rest>,
    ClientAddress(address): ClientAddress,
    mut fields: Fields,
) -> Response {
    let done = async {
        let (user_name, password) = (fields.text("user_name")?, fields.text("password")?);
        rest.accounts.log_in(&user_name, &password, address).await
    };
    match done.await {
        Ok(done) => answer::log_in(done),
        Err(error @ Error::InvalidCredentials) => {
            refuse_with(&error, StatusCode::UNAUTHORIZED, &format!("Unauthorized:{error}"))
        }
        Err(error) => refuse(&error),
    }
}

/// Renews a session: the refresh token changes with it
#[utoipa::path(
    post,
    path = "/refresh",
    request_body = RefreshToken,
    responses(
        (status = 200, description = "a pair of tokens", body = answer::LogInAnswer),
        (status = 401, description = "the password or the token is not good", body = super::openapi::Refusal),
    ),
)]
pub(super) async fn refresh(
    State(rest): State<Rest>,
    ClientAddress(address): ClientAddress,
    mut fields: Fields,
) -> Response {
    let done = async { rest.accounts.refresh(&fields.text("refresh_token")?, address).await };
    or_refusal(done.await, answer::log_in)
}

/// Ends the session, with every token made from it
#[utoipa::path(
    post,
    path = "/logout",
    responses(
        (status = 204, description = "done"),
    ),
    security(("user" = []))
)]
pub(super) async fn log_out(
    State(rest): State<Rest>,
    ClientAddress(address): ClientAddress,
    caller: UserIdentity,
) -> Response {
    or_refusal(rest.accounts.log_out(&caller, address).await, |()| StatusCode::NO_CONTENT.into_response())
}

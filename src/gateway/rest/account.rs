//! The calls of accounts: register, show, change the password, delete.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    body::JsonBody,
    response::{self, invalid_body, or_refusal},
    rules,
    state::RestState,
};
use crate::{
    gateway::{
        peer::ClientAddress,
        refusal::{Refusal, refuse_rest, refuse_rest_as},
        route::paths,
    },
    model::{Account, Error, Password, Result, UserIdentity, UserName},
};

#[derive(Deserialize, ToSchema)]
pub(super) struct NewAccount {
    #[serde(default)]
    #[schema(schema_with = rules::user_name, required)]
    user_name: String,
    #[serde(default)]
    #[schema(schema_with = rules::password, required)]
    password: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct NewPassword {
    /// The present one.
    #[serde(default)]
    #[schema(required)]
    password: String,
    #[serde(default)]
    #[schema(schema_with = rules::password, required)]
    new_password: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct OwnPassword {
    #[serde(default)]
    #[schema(required)]
    password: String,
}

/// Makes an account
#[utoipa::path(
    post,
    path = paths::REGISTER,
    request_body = NewAccount,
    responses(
        (status = 200, description = "the account", body = response::AccountResponse),
    ),
)]
pub(super) async fn register(
    State(rest): State<RestState>,
    ClientAddress(address): ClientAddress,
    JsonBody(NewAccount { user_name, password }): JsonBody<NewAccount>,
) -> Response {
    let registered: Result<Account> = async {
        let user_name = UserName::parse(&user_name)?;
        rest.accounts.register(user_name, Password::parse(&password)?, address).await
    }
    .await;
    match registered {
        Ok(account) => response::account(&account),
        // The original refuses a taken name with 400 too.
        Err(
            error @ (Error::InvalidUserName
            | Error::FlawedUserName(_)
            | Error::InvalidPassword
            | Error::UserNameTaken),
        ) => refuse_rest_as(&error, StatusCode::BAD_REQUEST, &invalid_body(&error)),
        Err(error) => refuse_rest(&error),
    }
}

/// Shows the caller's account
#[utoipa::path(
    get,
    path = paths::ACCOUNT,
    operation_id = "show_account",
    responses(
        (status = 200, description = "the account", body = response::AccountResponse),
    ),
    security(("user" = []))
)]
pub(super) async fn show(State(rest): State<RestState>, caller: UserIdentity) -> Response {
    or_refusal(rest.accounts.account(&caller).await, |account| response::account(&account))
}

/// Replaces the caller's password, and ends their other sessions
#[utoipa::path(
    put,
    path = paths::ACCOUNT_PASSWORD,
    request_body = NewPassword,
    responses(
        (status = 204, description = "done"),
        (status = 401, description = "the password or the token is wrong", body = Refusal),
    ),
    security(("user" = []))
)]
pub(super) async fn change_password(
    State(rest): State<RestState>,
    ClientAddress(address): ClientAddress,
    caller: UserIdentity,
    JsonBody(NewPassword { password, new_password }): JsonBody<NewPassword>,
) -> Response {
    let changed = async {
        let new_password = Password::parse(&new_password)?;
        rest.accounts.change_password(&caller, &password, new_password, address).await
    };
    or_refusal(changed.await, |()| StatusCode::NO_CONTENT.into_response())
}

/// Deletes the caller's account; its messages stay, without a name
#[utoipa::path(
    delete,
    path = paths::ACCOUNT,
    operation_id = "delete_account",
    request_body = OwnPassword,
    responses(
        (status = 204, description = "done"),
        (status = 401, description = "the password or the token is wrong", body = Refusal),
        (status = 409, description = "the account still owns rooms", body = Refusal),
    ),
    security(("user" = []))
)]
pub(super) async fn delete(
    rest: State<RestState>,
    address: ClientAddress,
    caller: UserIdentity,
    body: JsonBody<OwnPassword>,
) -> Response {
    delete_by_post(rest, address, caller, body).await
}

/// Does the same, for callers whose DELETE has no body
#[utoipa::path(
    post,
    path = paths::ACCOUNT_DELETE,
    operation_id = "delete_account_by_post",
    request_body = OwnPassword,
    responses(
        (status = 204, description = "done"),
        (status = 401, description = "the password or the token is wrong", body = Refusal),
        (status = 409, description = "the account still owns rooms", body = Refusal),
    ),
    security(("user" = []))
)]
pub(super) async fn delete_by_post(
    State(rest): State<RestState>,
    ClientAddress(address): ClientAddress,
    caller: UserIdentity,
    JsonBody(OwnPassword { password }): JsonBody<OwnPassword>,
) -> Response {
    or_refusal(rest.accounts.delete(&caller, &password, address).await, |()| {
        StatusCode::NO_CONTENT.into_response()
    })
}

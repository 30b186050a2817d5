use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use utoipa::ToSchema;

use super::{
    Rest,
    answer::{self, invalid_body, or_refusal},
    body::Fields,
    openapi::rules,
};
use crate::{
    gateway::{
        ClientAddress,
        status::{refuse, refuse_with},
    },
    model::{Account, Error, Password, Result, UserIdentity, UserName},
};

#[derive(ToSchema)]
#[expect(dead_code, reason = "its shape is read by the macro alone")]
struct NewAccount {
    #[schema(schema_with = rules::user_name)]
    user_name: String,
    #[schema(schema_with = rules::password)]
    password: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "its shape is read by the macro alone")]
struct NewPassword {
    /// The present one.
    password: String,
    #[schema(schema_with = rules::password)]
    new_password: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "its shape is read by the macro alone")]
struct OwnPassword {
    password: String,
}

/// Makes an account
#[utoipa::path(
    post,
    path = "/register",
    request_body = NewAccount,
    responses(
        (status = 200, description = "the account", body = answer::AccountAnswer),
    ),
)]
pub(super) async fn register(
    State(rest): State<Rest>,
    ClientAddress(address): ClientAddress,
    mut fields: Fields,
) -> Response {
    let registered: Result<Account> = async {
        let (user_name, password) = (fields.text("user_name")?, fields.text("password")?);
        let user_name = UserName::parse(&user_name)?;
        rest.accounts.register(user_name, Password::parse(&password)?, address).await
    }
    .await;
    match registered {
        Ok(account) => answer::account(&account),
        // The original answers 400 to a taken name too.
        Err(
            error @ (Error::InvalidUserName
            | Error::FlawedUserName(_)
            | Error::InvalidPassword
            | Error::UserNameTaken),
        ) => refuse_with(&error, StatusCode::BAD_REQUEST, &invalid_body(&error)),
        Err(error) => refuse(&error),
    }
}

/// Shows the caller's account
#[utoipa::path(
    get,
    path = "/account",
    operation_id = "show_account",
    responses(
        (status = 200, description = "the account", body = answer::AccountAnswer),
    ),
    security(("user" = []))
)]
pub(super) async fn show(State(rest): State<Rest>, caller: UserIdentity) -> Response {
    or_refusal(rest.accounts.account(&caller).await, |account| answer::account(&account))
}

/// Replaces the caller's password, and ends their other sessions
#[utoipa::path(
    put,
    path = "/account/password",
    request_body = NewPassword,
    responses(
        (status = 204, description = "done"),
        (status = 401, description = "the password or the token is not good", body = super::openapi::Refusal),
    ),
    security(("user" = []))
)]
pub(super) async fn change_password(
    State(rest): State<Rest>,
    ClientAddress(address): ClientAddress,
    caller: UserIdentity,
    mut fields: Fields,
) -> Response {
    let changed = async {
        let (password, new_password) = (fields.text("password")?, fields.text("new_password")?);
        let new_password = Password::parse(&new_password)?;
        rest.accounts.change_password(&caller, &password, new_password, address).await
    };
    or_refusal(changed.await, |()| StatusCode::NO_CONTENT.into_response())
}

/// Deletes the caller's account; its messages stay, without a name
#[utoipa::path(
    delete,
    path = "/account",
    operation_id = "delete_account",
    request_body = OwnPassword,
    responses(
        (status = 204, description = "done"),
        (status = 401, description = "the password or the token is not good", body = super::openapi::Refusal),
        (status = 409, description = "the account still owns rooms", body = super::openapi::Refusal),
    ),
    security(("user" = []))
)]
pub(super) async fn delete(
    rest: State<Rest>,
    address: ClientAddress,
    caller: UserIdentity,
    fields: Fields,
) -> Response {
    delete_by_post(rest, address, caller, fields).await
}

/// Does the same, for callers whose DELETE has no body
#[utoipa::path(
    post,
    path = "/account/delete",
    operation_id = "delete_account_by_post",
    request_body = OwnPassword,
    responses(
        (status = 204, description = "done"),
        (status = 401, description = "the password or the token is not good", body = super::openapi::Refusal),
        (status = 409, description = "the account still owns rooms", body = super::openapi::Refusal),
    ),
    security(("user" = []))
)]
pub(super) async fn delete_by_post(
    State(rest): State<Rest>,
    ClientAddress(address): ClientAddress,
    caller: UserIdentity,
    mut fields: Fields,
) -> Response {
    let deleted = async { rest.accounts.delete(&caller, &fields.text("password")?, address).await };
    or_refusal(deleted.await, |()| StatusCode::NO_CONTENT.into_response())
}

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;

use super::{
    Rest,
    answer::{self, invalid_body, or_refusal},
    body::Fields,
};
use crate::{
    gateway::{
        ClientAddress,
        status::{refuse, refuse_with},
    },
    model::{Account, Error, Password, Result, UserIdentity, UserName},
};

/// POST /register
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
        Err(error @ (Error::InvalidUserName | Error::InvalidPassword | Error::UserNameTaken)) => {
            refuse_with(&error, StatusCode::BAD_REQUEST, &invalid_body(&error))
        }
        Err(error) => refuse(&error),
    }
}

/// GET /account
pub(super) async fn show(State(rest): State<Rest>, caller: UserIdentity) -> Response {
    or_refusal(rest.accounts.account(&caller).await, |account| answer::account(&account))
}

/// PUT /account/password
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

/// DELETE /account
pub(super) async fn delete(
    State(rest): State<Rest>,
    ClientAddress(address): ClientAddress,
    caller: UserIdentity,
    mut fields: Fields,
) -> Response {
    let deleted = async { rest.accounts.delete(&caller, &fields.text("password")?, address).await };
    or_refusal(deleted.await, |()| StatusCode::NO_CONTENT.into_response())
}

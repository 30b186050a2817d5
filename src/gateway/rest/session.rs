use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;

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

/// POST /login
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

/// POST /refresh
pub(super) async fn refresh(State(rest): State<Rest>, mut fields: Fields) -> Response {
    let done = async { rest.accounts.refresh(&fields.text("refresh_token")?).await };
    or_refusal(done.await, answer::log_in)
}

/// POST /logout
pub(super) async fn log_out(State(rest): State<Rest>, caller: UserIdentity) -> Response {
    or_refusal(rest.accounts.log_out(&caller).await, |()| StatusCode::NO_CONTENT.into_response())
}

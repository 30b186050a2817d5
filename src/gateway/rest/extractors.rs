//! axum extractors of the identity and the address of the caller, which the layers above put into the extensions.

use axum::{extract::FromRequestParts, response::Response};
use http::request::Parts;

use super::super::{peer::ClientAddress, refusal::refuse_rest};
use crate::model::{Error, UserIdentity};

impl<S: Sync> FromRequestParts<S> for UserIdentity {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get().cloned().ok_or_else(|| refuse_rest(&Error::TokenMissing))
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get().copied().ok_or_else(|| {
            tracing::error!("a request has no client address");
            refuse_rest(&Error::Internal)
        })
    }
}

//! Who calls, and from where: put into the request's extensions by the layers outside the router.

use axum::{extract::FromRequestParts, response::Response};
use http::request::Parts;

use super::super::{ClientAddress, status::refuse};
use crate::model::{Error, UserIdentity};

impl<S: Sync> FromRequestParts<S> for UserIdentity {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get().cloned().ok_or_else(|| refuse(&Error::TokenMissing))
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get().copied().ok_or_else(|| {
            tracing::error!("a request came without its client's address");
            refuse(&Error::Internal)
        })
    }
}

//! Who is calling: one layer for both branches.
//!
//! It reads the token, holds it against the access table, and puts the identity into the request's extensions.
//! It stands below the translation of gRPC-web, so that it has two refusals to know: a gRPC status, and JSON.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, header};
use tower::{Layer, Service};

use super::{
    access::{self, Access},
    body::Body,
    refusal,
    route::{Call, Route},
};
use crate::{
    domain::Tokens,
    model::{Error, Result},
};

/// The original's name of the header that holds a token.
pub(super) const TOKEN: header::HeaderName = header::HeaderName::from_static("token");

/// Puts [`Auth`] around a service.
#[derive(Clone)]
pub(super) struct AuthLayer {
    tokens: Tokens,
}

impl AuthLayer {
    /// Makes a layer that reads these tokens.
    pub(super) fn new(tokens: Tokens) -> Self {
        Self { tokens }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { tokens: self.tokens.clone(), inner }
    }
}

/// Lets through who may call, and refuses the others in their dialect.
#[derive(Clone)]
pub(super) struct Auth<S> {
    tokens: Tokens,
    inner: S,
}

impl<S, B> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The instance that was polled ready is the one that is called.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let tokens = self.tokens.clone();
        Box::pin(async move {
            let route = request.extensions().get::<Route>().cloned().unwrap_or(Route::Rest);
            match authenticate(&tokens, &route, &mut request).await {
                Ok(()) => inner.call(request).await,
                Err(error) => Ok(refusal::answer(route.dialect(), error)),
            }
        })
    }
}

async fn authenticate<B>(tokens: &Tokens, route: &Route, request: &mut Request<B>) -> Result<()> {
    let access = match route {
        Route::Grpc(dialect, Call::Known { method, .. }) if dialect.is_web() && method.is_bidi() => {
            return Err(Error::BidiNeedsHttp2);
        }
        Route::Grpc(_, Call::Known { method, .. }) => access::of_method(*method),
        Route::Grpc(_, Call::Unknown { service, method }) => {
            return Err(Error::UnknownMethod { service: service.clone(), method: method.clone() });
        }
        Route::Rest | Route::Refused(_) => {
            access::of_path(request.method(), request.uri().path()).ok_or(Error::PathNotFound)?
        }
    };
    match access {
        Access::Public => {}
        Access::User => {
            let identity = tokens.authenticate_user(token(request.headers())?).await?;
            request.extensions_mut().insert(identity);
        }
        Access::Chat => {
            let identity = tokens.authenticate_chat(token(request.headers())?)?;
            request.extensions_mut().insert(Arc::new(identity));
        }
    }
    Ok(())
}

/// Finds the token. Two that differ are refused: which of them counts would be a guess.
fn token(headers: &HeaderMap) -> Result<&str> {
    let mut found: Option<&str> = None;
    for (name, value) in headers.iter().filter(|(name, _)| **name == header::AUTHORIZATION || **name == TOKEN)
    {
        let text = value.to_str().map_err(|_| Error::TokenInvalid)?.trim();
        let text =
            if *name == header::AUTHORIZATION { bearer(text).ok_or(Error::TokenInvalid)? } else { text };
        if found.is_some_and(|other| other != text) {
            return Err(Error::TwoTokens);
        }
        found = Some(text);
    }
    found.filter(|token| !token.is_empty()).ok_or(Error::TokenMissing)
}

/// Takes the token from `Bearer <token>`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_token_is_found_under_either_name() {
        assert_eq!(token(&headers(&[("authorization", "Bearer abc")])).ok(), Some("abc"));
        assert_eq!(token(&headers(&[("authorization", "bearer  abc")])).ok(), Some("abc"));
        assert_eq!(token(&headers(&[("token", "abc")])).ok(), Some("abc"));
        assert_eq!(token(&headers(&[("token", "abc"), ("authorization", "Bearer abc")])).ok(), Some("abc"));
    }

    #[test]
    fn two_tokens_that_differ_are_refused() {
        let both = headers(&[("token", "abc"), ("authorization", "Bearer abd")]);
        assert!(matches!(token(&both), Err(Error::TwoTokens)));
    }

    #[test]
    fn no_token_is_not_a_wrong_one() {
        assert!(matches!(token(&headers(&[])), Err(Error::TokenMissing)));
        assert!(matches!(token(&headers(&[("token", "")])), Err(Error::TokenMissing)));
        assert!(matches!(token(&headers(&[("authorization", "Basic abc")])), Err(Error::TokenInvalid)));
    }
}

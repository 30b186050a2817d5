//! Who is calling, and who pays: one layer for both branches.
//!
//! It reads the token, holds it against the access table, pays for the call out of its caller's budget, and puts the
//! identity into the request's extensions. Whether a session lives is looked up only once the call is paid for. The permit
//! goes into the answer's extensions, so that the call counts as under way until its answer is read. It stands below the
//! translation of gRPC-web, so that it has two refusals to know: a gRPC status, and JSON.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, header};
use tower::{Layer, Service};

use super::{
    ClientAddress,
    access::{self, Access},
    body::Body,
    patience::{Held, MayLieUnread},
    refusal::{self, TooOften},
    route::{Call, Route},
    status,
};
use crate::{
    domain::{Budget, Cost, Permit, Tokens, charged_to},
    model::{Error, Payer, Result, UserId, UserName},
};

/// The original's name of the header that holds a token.
pub(super) const TOKEN: header::HeaderName = header::HeaderName::from_static("token");

/// Who is charged for a call, and their name where it has a token; in the extensions of an answer that refuses it for a
/// limit.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) payer: Payer,
    pub(super) name: Option<Arc<str>>,
}

impl Caller {
    fn user(user: UserId, name: &UserName) -> Self {
        Self { payer: Payer::User(user), name: Some(name.shared()) }
    }
}

/// Puts [`Auth`] around a service.
#[derive(Clone)]
pub(super) struct AuthLayer {
    tokens: Tokens,
    budget: Budget,
}

impl AuthLayer {
    /// Makes a layer that reads these tokens, and has calls paid for out of this budget.
    pub(super) const fn new(tokens: Tokens, budget: Budget) -> Self {
        Self { tokens, budget }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { gate: self.clone(), inner }
    }
}

/// Lets through who may call, and refuses the others in their dialect.
#[derive(Clone)]
pub(super) struct Auth<S> {
    gate: AuthLayer,
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
        let gate = self.gate.clone();
        Box::pin(async move {
            let route = request.extensions().get::<Route>().cloned().unwrap_or(Route::Rest);
            let mut caller = match request.extensions().get::<ClientAddress>() {
                Some(ClientAddress(address)) => Caller { payer: Payer::at(*address), name: None },
                None => return Ok(refusal::answer(route.dialect(), Error::Internal)),
            };
            let mut response = match gate.admit(&route, &mut request, &mut caller).await {
                Ok(permit) => {
                    let mut response = charged_to(caller.payer, async { inner.call(request).await }).await?;
                    // A stream has limits of its own, and lasts; a refusal may be held back.
                    if let Some(permit) = permit
                        && response.extensions().get::<MayLieUnread>().is_none()
                        && !status::is_rate_limited(&response)
                    {
                        Held::in_answer(&mut response).hold(permit);
                    }
                    response
                }
                Err(error) => {
                    // Its body is not waited for.
                    drop(request);
                    refusal::answer(route.dialect(), error)
                }
            };
            if status::is_rate_limited(&response) {
                response.extensions_mut().insert(TooOften(caller.payer));
            }
            if status::limit_of(&response).is_some() {
                response.extensions_mut().insert(caller);
            }
            Ok(response)
        })
    }
}

impl AuthLayer {
    /// Lets a call in: its token is good, and it is paid for. `caller` is the network, and becomes the user who shows a
    /// token of this server's.
    async fn admit<B>(
        &self,
        route: &Route,
        request: &mut Request<B>,
        caller: &mut Caller,
    ) -> Result<Option<Permit>> {
        let refused = match rule(route, request) {
            Ok((Access::Public, cost)) => return self.budget.enter(caller.payer, cost).await,
            Ok((Access::User, cost)) => match token(request.headers()).and_then(|t| self.tokens.read_user(t))
            {
                Ok(identity) => {
                    *caller = Caller::user(identity.user, &identity.user_name);
                    let permit = self.budget.enter(caller.payer, cost).await?;
                    charged_to(caller.payer, self.tokens.confirm(&identity)).await?;
                    request.extensions_mut().insert(identity);
                    return Ok(permit);
                }
                Err(error) => error,
            },
            Ok((Access::Chat, cost)) => {
                match token(request.headers()).and_then(|token| self.tokens.authenticate_chat(token)) {
                    Ok(identity) => {
                        *caller = Caller::user(identity.user, &identity.user_name);
                        let permit = self.budget.enter(caller.payer, cost).await?;
                        request.extensions_mut().insert(Arc::new(identity));
                        return Ok(permit);
                    }
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        // What is refused is paid for by the network.
        self.budget.pay(caller.payer, Cost::Read)?;
        Err(refused)
    }
}

/// Returns what a call asks for, and what it costs.
fn rule<B>(route: &Route, request: &Request<B>) -> Result<(Access, Cost)> {
    match route {
        Route::Grpc(dialect, Call::Known { method, .. }) if dialect.is_web() && method.is_bidi() => {
            Err(Error::BidiNeedsHttp2)
        }
        Route::Grpc(_, Call::Known { method, .. }) => {
            Ok((access::of_method(*method), access::cost_of_method(*method)))
        }
        Route::Grpc(_, Call::Unknown { service, method }) => {
            Err(Error::UnknownMethod { service: service.clone(), method: method.clone() })
        }
        Route::Rest | Route::Refused(_) => {
            access::of_path(request.method(), request.uri().path()).ok_or(Error::PathNotFound)
        }
    }
}

/// Finds the token. Two that differ are refused: which of them counts would be a guess.
fn token(headers: &HeaderMap) -> Result<&str> {
    let mut found: Option<&[u8]> = None;
    let plain = headers.get_all(TOKEN).iter().map(|value| value.as_bytes().trim_ascii());
    for token in bearers(headers).chain(plain).filter(|token| !token.is_empty()) {
        if found.is_some_and(|other| other != token) {
            return Err(Error::TwoTokens);
        }
        found = Some(token);
    }
    std::str::from_utf8(found.ok_or(Error::TokenMissing)?).map_err(|_| Error::TokenInvalid)
}

/// Returns the tokens of all `authorization: Bearer <token>`. What has another scheme is for somebody else: a proxy in front
/// may ask for a name and a password of its own.
pub(super) fn bearers(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes().trim_ascii()))
}

/// Takes the token from `Bearer <token>`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
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
        for pairs in [
            [("token", "abc"), ("authorization", "Bearer abd")],
            [("token", "abc"), ("token", "abd")],
            [("authorization", "Bearer abc"), ("authorization", "Bearer abd")],
        ] {
            assert!(matches!(token(&headers(&pairs)), Err(Error::TwoTokens)), "{pairs:?}");
        }
        let empty = headers(&[("token", "abc"), ("authorization", "Bearer ")]);
        assert_eq!(token(&empty).ok(), Some("abc"));
    }

    #[test]
    fn no_token_is_not_a_wrong_one() {
        assert!(matches!(token(&headers(&[])), Err(Error::TokenMissing)));
        assert!(matches!(token(&headers(&[("token", "")])), Err(Error::TokenMissing)));
        assert!(matches!(token(&headers(&[("authorization", "Bearer")])), Err(Error::TokenMissing)));
    }

    #[test]
    fn other_schemes_are_not_ours() {
        for other in ["Basic d2Fsa2VyMTpw", "Digest username=\"walker1\"", "Basic", "abc"] {
            let alone = headers(&[("authorization", other)]);
            assert!(matches!(token(&alone), Err(Error::TokenMissing)), "{other}");
            let beside = headers(&[("authorization", other), ("token", "abc")]);
            assert_eq!(token(&beside).ok(), Some("abc"), "{other}");
            let twice = headers(&[("authorization", other), ("authorization", "Bearer abc")]);
            assert_eq!(token(&twice).ok(), Some("abc"), "{other}");
        }
    }
}

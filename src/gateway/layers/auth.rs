//! Authentication and payment, for gRPC and REST.
//!
//! The layer checks the token that the access table requires, charges the call to its caller's budget, and puts the identity
//! into the request's extensions. For a user token it also looks the session up, after the call was charged; the store checks
//! what a chat token claims. The permit goes into the
//! response's extensions, so that the call counts as in progress until its response was read. The layer is below the
//! translation of gRPC-web, so it knows two kinds of refusal: a gRPC status, and JSON.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::{Layer, Service};

use crate::{
    domain::{Budget, Cost, Permit, Tokens, charged_to},
    gateway::{
        body::{Body, Streaming},
        credentials::token,
        peer::ClientAddress,
        refusal::{self, RateLimitedPayer},
        response_guards::ResponseGuards,
        route::{self, Access, Call, Route},
    },
    model::{Error, Payer, Result, UserId, UserName},
};

/// The payer of a call, and the user's name where the call has a token. In the extensions of a response that refuses the
/// call for a limit.
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
pub(in crate::gateway) struct AuthLayer {
    tokens: Tokens,
    budget: Budget,
}

impl AuthLayer {
    /// Makes a layer that checks tokens by `tokens`, and charges calls to `budget`.
    pub(in crate::gateway) const fn new(tokens: Tokens, budget: Budget) -> Self {
        Self { tokens, budget }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { layer: self.clone(), inner }
    }
}

/// The service of [`AuthLayer`]. Refuses in the dialect of the call.
#[derive(Clone)]
pub(in crate::gateway) struct Auth<S> {
    layer: AuthLayer,
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
        let (mut inner, layer) = (self.inner.clone(), self.layer.clone());
        Box::pin(async move {
            let route = Route::of(&request).clone();
            let mut caller = match request.extensions().get::<ClientAddress>() {
                Some(ClientAddress(address)) => Caller { payer: Payer::at(*address), name: None },
                None => return Ok(refusal::refuse(route.dialect(), Error::Internal)),
            };
            let mut response = match layer.admit(&route, &mut request, &mut caller).await {
                Ok(permit) => {
                    let mut response = charged_to(caller.payer, async { inner.call(request).await }).await?;
                    // A room's stream has limits of its own. A refusal may be delayed, and must not block other calls.
                    if let Some(permit) = permit
                        && Streaming::of(&response) != Some(Streaming::Room)
                        && !refusal::is_rate_limited(&response)
                    {
                        ResponseGuards::of(&mut response).add_permit(permit);
                    }
                    response
                }
                Err(error) => {
                    // The refusal does not wait for the body.
                    drop(request);
                    refusal::refuse(route.dialect(), error)
                }
            };
            if refusal::is_rate_limited(&response) {
                response.extensions_mut().insert(RateLimitedPayer(caller.payer));
            }
            if refusal::limit_reason(&response).is_some() {
                response.extensions_mut().insert(caller);
            }
            Ok(response)
        })
    }
}

impl AuthLayer {
    /// Checks the token of a call, and charges the call. `caller` is the network, and becomes the user of a token that this
    /// server has signed.
    ///
    /// # Errors
    /// Why the call is refused.
    async fn admit<B>(
        &self,
        route: &Route,
        request: &mut Request<B>,
        caller: &mut Caller,
    ) -> Result<Option<Permit>> {
        let refused = match requirements(route, request) {
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
                match token(request.headers()).and_then(|token| self.tokens.read_chat(token)) {
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
        // A refused call is charged to the network.
        self.budget.pay(caller.payer, Cost::Read)?;
        Err(refused)
    }
}

/// Returns the token that a call needs, and its cost.
fn requirements<B>(route: &Route, request: &Request<B>) -> Result<(Access, Cost)> {
    match route {
        Route::Grpc(dialect, Call::Known { method, .. }) if dialect.is_web() && method.is_bidi() => {
            Err(Error::BidiNeedsHttp2)
        }
        Route::Grpc(_, Call::Known { method, .. }) => {
            Ok((route::method_access(*method), route::method_cost(*method)))
        }
        Route::Grpc(_, Call::Unknown { service, method }) => {
            Err(Error::UnknownMethod { service: service.clone(), method: method.clone() })
        }
        Route::Rest | Route::Refused(_) => {
            route::path_access(request.method(), request.uri().path()).ok_or(Error::PathNotFound)
        }
    }
}

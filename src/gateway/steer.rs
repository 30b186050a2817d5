//! The steer: sends each request to gRPC, gRPC-web or REST.
//!
//! By request and not by connection: an HTTP/2 connection carries all three.

use std::{
    convert::Infallible,
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Method as Verb, Request, Response};
use tower::{Service, util::BoxCloneSyncService};

use super::{
    body::Body,
    layers::unread_request::RequestBody,
    peer::ClientAddress,
    refusal::{self, RateLimitedPayer},
    route::{Dialect, HttpRefusal, Route},
};
use crate::{
    domain::{Budget, Cost},
    model::Payer,
};

/// A branch with its layers. Boxed, like the stack itself: nested layers otherwise make types that take gigabytes to compile.
pub(super) type Branch = BoxCloneSyncService<Request<RequestBody>, Response<Body>, Infallible>;

/// Sends each request to the branch of its route. Every branch is always ready. Clones share the branches: a request clones
/// only its own.
#[derive(Clone)]
pub(super) struct Steer(pub(super) Arc<Branches>);

/// The branches.
pub(super) struct Branches {
    pub(super) grpc: Branch,
    pub(super) grpc_web: Branch,
    pub(super) rest: Branch,
    /// The budget to which refused requests are charged, since they never reach authentication.
    pub(super) budget: Budget,
}

impl Service<Request<RequestBody>> for Steer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        match Route::of(&request) {
            Route::Grpc(Dialect::Grpc, _) => self.0.grpc.clone().call(request),
            Route::Grpc(..) => self.0.grpc_web.clone().call(request),
            Route::Rest => self.0.rest.clone().call(request),
            Route::Refused(refusal) => Box::pin(ready(Ok(refuse(&self.0.budget, &request, refusal.clone())))),
        }
    }
}

/// Refuses a request that breaks a rule of HTTP, and charges it to the client's network.
fn refuse<B>(budget: &Budget, request: &Request<B>, refusal: HttpRefusal) -> Response<Body> {
    let mut response = refusal::refuse_http(refusal);
    let payer = request.extensions().get::<ClientAddress>().map(|client| Payer::at(client.0));
    if let Some(payer) = payer
        && let Err(error) = budget.pay(payer, Cost::Read)
    {
        response = refusal::refuse(Dialect::Rest, error);
        response.extensions_mut().insert(RateLimitedPayer(payer));
    }
    if request.method() == Verb::HEAD {
        *response.body_mut() = Body::default();
    }
    response
}

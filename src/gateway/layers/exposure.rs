//! Refuses endpoints that the listening address does not serve.

use std::{convert::Infallible, future::ready};

use futures_util::future::Either;
use http::{Request, Response};
use tower::Service;

use crate::{
    gateway::{body::Body, peer::Peer, refusal},
    model::Error,
};

/// Responds with 404, in JSON, for an endpoint of another address.
pub(in crate::gateway) fn check<S, B>(
    (): &(),
    request: Request<B>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    let path = request.uri().path();
    if request.extensions().get::<Peer>().is_some_and(|peer| !peer.exposure.serves(path)) {
        return Either::Left(ready(Ok(refusal::refuse_rest(&Error::PathNotFound).map(Body::from))));
    }
    Either::Right(inner.call(request))
}

//! Refuses a call whose body is announced as too large, before anything of it is read or charged.

use std::{convert::Infallible, future::ready};

use futures_util::future::Either;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower::Service;

use crate::{
    gateway::{body::Body, refusal},
    model::Error,
};

/// Refuses such a REST call with TOO_LARGE.
pub(in crate::gateway) fn check<S, B>(
    max_bytes: &usize,
    request: Request<B>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    B: HttpBody,
{
    if request.body().size_hint().lower() > *max_bytes as u64 {
        let refused = refusal::refuse_rest(&Error::TooLarge { limit: *max_bytes });
        return Either::Left(ready(Ok(refused.map(Body::from))));
    }
    Either::Right(inner.call(request))
}

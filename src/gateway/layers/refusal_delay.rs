//! Delays the refusals of payers that are refused too often.

use std::convert::Infallible;

use http::{Request, Response};
use tower::Service;

use crate::{
    domain::Budget,
    gateway::{body::Body, refusal::RateLimitedPayer},
};

/// Delays a response that has a [`RateLimitedPayer`]. The layers below have dropped the request by then, so a
/// delayed response costs little memory.
pub(in crate::gateway) fn delay<S, B>(
    budget: &Budget,
    request: Request<B>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    let budget = budget.clone();
    let future = inner.call(request);
    async move {
        let mut response = future.await?;
        if let Some(RateLimitedPayer(payer)) = response.extensions_mut().remove() {
            budget.hold_back(payer).await;
        }
        Ok(response)
    }
}

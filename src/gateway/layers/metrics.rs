//! Counts each call, and measures its duration.

use std::convert::Infallible;

use http::{Request, Response};
use tokio::time::Instant;
use tower::Service;

use crate::gateway::{body::Body, call_metrics::CallMetrics, route::Route};

/// Counts a call at its start and at the head of its response.
pub(in crate::gateway) fn count<S, B>(
    (): &(),
    request: Request<B>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    let (metrics, started) = (CallMetrics::start(Route::of(&request), &request), Instant::now());
    let future = inner.call(request);
    async move {
        let response = future.await?;
        metrics.finish(&response, started.elapsed());
        Ok(response)
    }
}

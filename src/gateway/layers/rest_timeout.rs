//! The two timeouts of a REST call: 15 seconds for the body to arrive, and 10 seconds after that for the handler. Each has a
//! refusal of its own.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{sync::oneshot, time::timeout};
use tower::Service;

use crate::{
    gateway::{
        body::Body as ResponseBody,
        refusal,
        route::{Dialect, HttpRefusal},
    },
    model::Error,
};

/// Timeout of the request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Timeout of the handler, once the body has arrived.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);

const BODY_TOO_SLOW: HttpRefusal = HttpRefusal {
    status: StatusCode::REQUEST_TIMEOUT,
    sentence: "the request took too long to come",
    reason: "REQUEST_TIMEOUT",
    header: None,
};

/// Runs the service below with the two timeouts.
pub(in crate::gateway) fn limit<S>(
    (): &(),
    request: Request<Body>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + use<S>
where
    S: Service<Request<Body>, Response = Response<ResponseBody>, Error = Infallible>,
{
    let (sender, arrived) = oneshot::channel();
    // A request without a body has arrived already.
    let sender = (!request.body().is_end_stream()).then_some(sender);
    let future = inner.call(request.map(|body| Body::new(WatchedBody { body, sender })));
    async move {
        let mut future = pin!(future);
        tokio::select! {
            response = future.as_mut() => return response,
            // The sender is dropped when the body ends or is dropped, which resolves `arrived`.
            outcome = timeout(BODY_TIMEOUT, arrived) => if outcome.is_err() {
                return Ok(refusal::refuse_http(BODY_TOO_SLOW));
            }
        }
        match timeout(HANDLER_TIMEOUT, future).await {
            Ok(response) => response,
            Err(_) => Ok(refusal::refuse(Dialect::Rest, Error::DeadlineExceeded)),
        }
    }
}

/// A request's body that drops `sender` when it has arrived.
struct WatchedBody {
    body: Body,
    sender: Option<oneshot::Sender<()>>,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.sender = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::body::to_bytes;
    use futures_util::stream;
    use http_body_util::BodyExt as _;
    use tower::service_fn;

    use super::*;

    fn never() -> Body {
        Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
    }

    async fn refusal(response: Result<Response<ResponseBody>, Infallible>) -> (u16, String) {
        let response = response.unwrap();
        let status = response.status().as_u16();
        let Ok(body) = response.into_body().collect().await else { panic!("no body") };
        let body: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        (status, body["reason"].as_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_times_out_after_fifteen_seconds() {
        let started = tokio::time::Instant::now();
        let mut service = service_fn(async |request: Request<Body>| {
            drop(to_bytes(request.into_body(), 10).await);
            panic!("it never arrives");
        });
        let response = limit(&(), Request::new(never()), &mut service);
        assert_eq!(refusal(response.await).await, (408, "REQUEST_TIMEOUT".to_owned()));
        assert_eq!(started.elapsed(), BODY_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_has_ten_seconds_once_the_body_has_arrived() {
        for body in [Body::empty(), Body::from("all of it"), never()] {
            let started = tokio::time::Instant::now();
            let mut service = service_fn(async |request: Request<Body>| {
                // A dropped body is not waited for.
                if request.body().size_hint().exact().is_some() {
                    drop(to_bytes(request.into_body(), 10).await);
                } else {
                    drop(request);
                }
                pending().await
            });
            let response = limit(&(), Request::new(body), &mut service);
            assert_eq!(refusal(response.await).await, (504, "DEADLINE_EXCEEDED".to_owned()));
            assert_eq!(started.elapsed(), HANDLER_TIMEOUT);
        }
    }
}

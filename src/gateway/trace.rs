//! Around a request: it is parsed, named in the log, counted, and answered even where its handler panics.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, Response};
use tokio::time::Instant;
use tower::{Layer, Service};
use tower_http::request_id::{MakeRequestId, RequestId};
use tracing::Instrument as _;

use super::{body::Body, called::Called, figures::Counted, refusal, route::Route, trace_context};
use crate::{clock::Clock, model::Error};

/// Numbers the requests of this process: a random start, so that the ids of two runs differ, then one by one.
#[derive(Clone, Debug)]
pub(super) struct RequestIds {
    run: u32,
    next: Arc<AtomicU64>,
}

impl RequestIds {
    /// Starts at a random run.
    pub(super) fn new(clock: &Clock) -> Self {
        Self { run: u32::from_ne_bytes(clock.random()), next: Arc::default() }
    }
}

impl MakeRequestId for RequestIds {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let id = format!("{:08x}-{:x}", self.run, self.next.fetch_add(1, Ordering::Relaxed));
        HeaderValue::try_from(id).ok().map(RequestId::new)
    }
}

/// The name under which a request's id comes and goes.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A caller's id of a request has so many characters at most.
const LONGEST_ID: usize = 64;

/// Takes a caller's id of a request away that is not plain: it is written into the log before all else, so it must hold
/// neither marks that end a field nor anything that somebody could have taken for a header of its own, as a token.
pub(super) fn with_plain_id<B>(mut request: Request<B>) -> Request<B> {
    let mut ids = request.headers().get_all(REQUEST_ID).iter();
    let (first, more) = (ids.next(), ids.next());
    if first.is_some_and(|id| more.is_some() || !is_plain(id.as_bytes())) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

fn is_plain(id: &[u8]) -> bool {
    let of_id = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(of_id)
}

/// Parses what a request is, opens its span, answers a panic in the caller's dialect, and tells the outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { inner }
    }
}

/// See [`TraceLayer`].
#[derive(Clone, Debug)]
pub(super) struct Trace<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Trace<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let route = Route::of(&request);
        let call = Called::new(&route, &request);
        let span = call.span();
        let counted = Counted::begin(&route, &request);
        let dialect = route.dialect();
        request.extensions_mut().insert(route);
        let begun = Instant::now();
        // A service may panic before it returns its future, too.
        let answering = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        let answering = async move {
            let answered = match answering {
                Ok(answering) => AssertUnwindSafe(answering).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            match answered {
                Ok(Ok(response)) => response,
                Err(_) => {
                    tracing::error!("a handler panicked");
                    refusal::answer_above(dialect, Error::Internal)
                }
            }
        };
        Box::pin(async move {
            let mut response = answering.instrument(span.clone()).await;
            let took = begun.elapsed();
            counted.answer(&response, took);
            call.tell(&span, &response, took);
            if let Some(traceresponse) = call.traceresponse(&span) {
                response.headers_mut().insert(trace_context::TRACERESPONSE, traceresponse);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    /// Panics as soon as it is called, or when its answer is awaited.
    #[derive(Clone, Copy, Debug)]
    enum Panicking {
        AtOnce,
        Later,
    }

    impl Service<Request<()>> for Panicking {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            match self {
                Self::AtOnce => panic!("as soon as it is called"),
                Self::Later => Box::pin(async { panic!("when it is awaited") }),
            }
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error_in_the_callers_dialect() {
        for panicking in [Panicking::AtOnce, Panicking::Later] {
            for content_type in [
                "application/grpc",
                "application/grpc-web+proto",
                "application/grpc-web-text+proto",
                "application/json",
            ] {
                let path = if content_type == "application/json" {
                    "/login"
                } else {
                    "/grpcchatter.v1.ChatService/ListChatRooms"
                };
                let mut request = Request::post(path).header(CONTENT_TYPE, content_type).body(()).unwrap();
                *request.version_mut() = http::Version::HTTP_2;
                let answer = TraceLayer.layer(panicking).oneshot(request).await.unwrap();
                assert_eq!(answer.headers()[CONTENT_TYPE], content_type, "{panicking:?}");
                if content_type == "application/json" {
                    assert_eq!(answer.status(), 500);
                    let body = answer.into_body().collect().await.unwrap().to_bytes();
                    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(body["reason"], "INTERNAL");
                } else {
                    assert_eq!(answer.status(), 200);
                    assert_eq!(answer.headers()["grpc-status"], "13");
                }
            }
        }
    }
}

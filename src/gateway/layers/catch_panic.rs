//! Refuses a call with INTERNAL where its handler panics.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt as _;
use http::{Request, Response};
use tower::Service;

use crate::{
    gateway::{body::Body, refusal, route::Route},
    model::Error,
};

/// Catches the panics of the service below, in its `call` and in its future.
pub(in crate::gateway) fn catch_panic<S, B>(
    (): &(),
    request: Request<B>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    let dialect = Route::of(&request).dialect();
    let future = catch_unwind(AssertUnwindSafe(|| inner.call(request)));
    async move {
        let result = match future {
            Ok(future) => AssertUnwindSafe(future).catch_unwind().await,
            Err(panic) => Err(panic),
        };
        result.unwrap_or_else(|_| {
            tracing::error!("a handler panicked");
            Ok(refusal::refuse_untranslated(dialect, Error::Internal))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use http::header::CONTENT_TYPE;
    use http_body_util::BodyExt as _;
    use tower::{Layer as _, ServiceExt as _};

    use super::{super::from_fn, *};

    /// A service that panics.
    #[derive(Clone, Copy, Debug)]
    enum Panicking {
        InCall,
        InFuture,
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
                Self::InCall => panic!("in call"),
                Self::InFuture => Box::pin(async { panic!("in the future") }),
            }
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error_in_the_callers_dialect() {
        for panicking in [Panicking::InCall, Panicking::InFuture] {
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
                request = crate::gateway::route::insert(request);
                let response = from_fn((), catch_panic).layer(panicking).oneshot(request).await.unwrap();
                assert_eq!(response.headers()[CONTENT_TYPE], content_type, "{panicking:?}");
                if content_type == "application/json" {
                    assert_eq!(response.status(), 500);
                    let body = response.into_body().collect().await.unwrap().to_bytes();
                    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(body["reason"], "INTERNAL");
                } else {
                    assert_eq!(response.status(), 200);
                    assert_eq!(response.headers()["grpc-status"], "13");
                }
            }
        }
    }
}

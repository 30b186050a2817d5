//! The layers of a request, in the order of [`Stack`](super::stack::Stack), each before the helpers that it uses.

pub(super) mod response_body;
pub(super) mod response_headers;
pub(super) mod refusal_delay;
pub(super) mod unread_request;
pub(super) mod client_address;
pub(super) mod request_id;
pub(super) mod access_log;
#[cfg(feature = "otlp")]
mod otlp_span;
pub(super) mod metrics;
pub(super) mod exposure;
pub(super) mod cors;
mod trace_context;
pub(super) mod catch_panic;
pub(super) mod host;
pub(super) mod origin;
pub(super) mod body_limit;
pub(super) mod rest_timeout;
pub(super) mod auth;

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower::{Layer, Service};

/// Makes a layer of a function. The function gets the layer's state, a request and the service below, and returns the future
/// of the response. The service below has to be always ready, as all of them are here.
///
/// The future is boxed. Unboxed, each layer's future would hold the one below twice, as an argument and while it is awaited:
/// the outermost one would have tens of kilobytes, copied for every request.
pub(super) const fn from_fn<T, F>(state: T, function: F) -> FromFnLayer<T, F> {
    FromFnLayer { state, function }
}

/// See [`from_fn`].
#[derive(Clone, Copy)]
pub(super) struct FromFnLayer<T, F> {
    state: T,
    function: F,
}

impl<T: Clone, F: Clone, S> Layer<S> for FromFnLayer<T, F> {
    type Service = FromFn<T, F, S>;

    fn layer(&self, inner: S) -> FromFn<T, F, S> {
        FromFn { state: self.state.clone(), function: self.function.clone(), inner }
    }
}

/// The service of a [`FromFnLayer`].
#[derive(Clone, Copy)]
pub(super) struct FromFn<T, F, S> {
    state: T,
    function: F,
    inner: S,
}

impl<T, F, S, R, Response, Fut, E> Service<R> for FromFn<T, F, S>
where
    F: for<'a> Fn(&'a T, R, &'a mut S) -> Fut,
    Fut: Future<Output = Result<Response, E>> + Send + 'static,
{
    type Response = Response;
    type Error = E;
    type Future = BoxFuture<'static, Result<Response, E>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        Box::pin((self.function)(&self.state, request, &mut self.inner))
    }
}

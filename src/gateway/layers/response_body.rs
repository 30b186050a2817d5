//! Gives the body of each response what it holds until its last byte is sent.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tower::Service;

use crate::gateway::{
    body::{Body, BoxError, Streaming},
    peer::{Http1Response, Peer},
    response_guards::ResponseGuards,
};

/// Makes the body of each response a [`GuardedBody`].
pub(in crate::gateway) fn guard<S, B>(
    (): &(),
    request: Request<B>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<GuardedBody>, Infallible>> + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    let is_http1 = request.version() < Version::HTTP_2;
    let peer = request.extensions().get::<Peer>().filter(|_| is_http1);
    let (writes, http1_response) = (peer.map(|peer| peer.writes.clone()), peer.map(Peer::request_arrived));
    let future = inner.call(request);
    async move {
        let mut response = future.await?;
        let streaming = Streaming::of(&response);
        if let Some(writes) = writes {
            writes.set_exempt(streaming == Some(Streaming::Room));
            writes.set_stream(streaming.is_some());
        }
        let guards = response.extensions_mut().remove::<ResponseGuards>().unwrap_or_default();
        Ok(response.map(|body| GuardedBody { body, guards, _http1_response: http1_response }))
    }
}

/// The body of a response, whose bytes hold its guards.
pub(in crate::gateway) struct GuardedBody {
    body: Body,
    guards: ResponseGuards,
    _http1_response: Option<Http1Response>,
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|bytes| this.guards.attach(bytes)))))
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
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::gateway::response_memory::ResponseMemory;

    #[tokio::test]
    async fn memory_is_reserved_until_the_last_byte_of_a_response_is_dropped() {
        const LENGTH: usize = 100_000;
        let memory = ResponseMemory::new(1 << 26);
        let reservation = memory.shared_connection().reserve(None, LENGTH).await.unwrap();
        let body = Body::from(axum::body::Body::from(vec![b'x'; LENGTH]));
        let mut body =
            GuardedBody { body, guards: ResponseGuards::memory(reservation), _http1_response: None };
        let mut bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(body.frame().await.is_none());
        drop(body);
        let last = bytes.split_off(LENGTH - 1);
        drop(bytes);
        assert!(memory.reserved() >= LENGTH, "the last byte is still held");
        drop(last);
        assert_eq!(memory.reserved(), 0);
    }
}

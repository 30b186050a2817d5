//! One request of an HTTP/2 connection, until the last byte of its response is sent.

use std::{convert::Infallible, future::poll_fn, pin::Pin, task::Poll, time::SystemTime};

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::{
    HeaderValue, Response,
    header::{CONTENT_LENGTH, DATE},
};
use http_body::Body as _;

use super::body_sender::BodySender;
use crate::gateway::{
    body::Streaming,
    layers::{response_body::GuardedBody, unread_request::UnreadRequest},
    response_memory::ResponseMemory,
};

/// Sends the response to a request, then reads the rest of the request. Ends early where the client resets the stream.
pub(super) async fn serve(
    response: impl Future<Output = Result<Response<GuardedBody>, Infallible>> + Unpin,
    reply: SendResponse<Bytes>,
    memory: ResponseMemory,
) {
    let Some((mut body, unread)) = send_head(response, reply, memory).await else { return };
    if let Some(body) = &mut body
        && let Err(error) = body.await
    {
        tracing::debug!(%error, "a stream ended with an error");
        return;
    }
    // The body holds the call's permit and its memory.
    drop(body);
    if let Some(unread) = unread {
        // Boxed: most streams leave nothing unread.
        Box::pin(unread.read()).await;
    }
}

/// Waits for the response, and sends its head. Returns its body, unless that is empty, and the rest of the request; none where
/// the stream was reset.
async fn send_head(
    mut response: impl Future<Output = Result<Response<GuardedBody>, Infallible>> + Unpin,
    mut reply: SendResponse<Bytes>,
    memory: ResponseMemory,
) -> Option<(Option<BodySender<GuardedBody>>, Option<UnreadRequest>)> {
    let responded = poll_fn(|context| {
        // Asked before the handler, which would answer a cancelled request as one that lacks its message.
        if reply.poll_reset(context).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut response).poll(context).map(|response| match response {
            Ok(response) => Some(response),
            Err(never) => match never {},
        })
    });
    let mut response = responded.await?;
    let unread = response.extensions_mut().remove::<UnreadRequest>();
    match start(response, &mut reply, memory) {
        Ok(body) => Some((body, unread)),
        Err(error) => {
            tracing::debug!(%error, "a response could not be sent");
            reply.send_reset(Reason::INTERNAL_ERROR);
            None
        }
    }
}

/// Sends the head of a response, to which no layer adds a header that HTTP/2 forbids. Returns its body, unless that is empty.
fn start(
    response: Response<GuardedBody>,
    reply: &mut SendResponse<Bytes>,
    memory: ResponseMemory,
) -> Result<Option<BodySender<GuardedBody>>, h2::Error> {
    let is_room = Streaming::of(&response) == Some(Streaming::Room);
    let (head, body) = response.into_parts();
    let mut head = Response::from_parts(head, ());
    let headers = head.headers_mut();
    headers.entry(DATE).or_insert_with(date);
    let is_empty = body.is_end_stream();
    if let Some(length) = body.size_hint().exact().filter(|_| !is_empty) {
        headers.entry(CONTENT_LENGTH).or_insert(length.into());
    }
    let stream = reply.send_response(head, is_empty)?;
    Ok((!is_empty).then(|| BodySender::new(body, stream, (!is_room).then_some(memory))))
}

#[expect(clippy::disallowed_methods, reason = "the header has the real time, as hyper's over HTTP/1.1 has")]
fn date() -> HeaderValue {
    let date = httpdate::fmt_http_date(SystemTime::now());
    HeaderValue::try_from(date).expect("a date is a valid header value")
}

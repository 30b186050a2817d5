//! How long a REST call may take: the body fifteen seconds to come, the handler ten after that. Whichever is over first
//! gives the answer, so each has one of its own.

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

use super::{
    body::Body as AnswerBody,
    refusal,
    route::{Dialect, Refused},
};
use crate::model::Error;

/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(15);

/// How long a call may take when its body has come.
const HANDLER: Duration = Duration::from_secs(10);

const BODY_TOO_SLOW: Refused = Refused {
    status: StatusCode::REQUEST_TIMEOUT,
    sentence: "the request took too long to come",
    reason: "REQUEST_TIMEOUT",
    header: None,
};

/// Has `call` answer a request, in time.
pub(super) async fn limited<F>(
    request: Request<Body>,
    call: impl FnOnce(Request<Body>) -> F,
) -> Result<Response<AnswerBody>, Infallible>
where
    F: Future<Output = Result<Response<AnswerBody>, Infallible>>,
{
    let (ended, end) = oneshot::channel();
    // One that has no body has come as a whole.
    let ended = (!request.body().is_end_stream()).then_some(ended);
    let request = request.map(|body| Body::new(Coming { body, ended }));
    let mut answering = pin!(call(request));
    tokio::select! {
        answered = answering.as_mut() => return answered,
        // Nothing is sent: it is dropped with the body's end, or with the body.
        come = timeout(BODY, end) => if come.is_err() {
            return Ok(refusal::http(BODY_TOO_SLOW));
        }
    }
    match timeout(HANDLER, answering).await {
        Ok(answered) => answered,
        Err(_) => Ok(refusal::answer(Dialect::Rest, Error::DeadlineExceeded)),
    }
}

/// A body that tells when it has come.
struct Coming {
    body: Body,
    ended: Option<oneshot::Sender<()>>,
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.ended = None;
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

    use super::*;

    fn never() -> Body {
        Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
    }

    async fn told(answer: Result<Response<AnswerBody>, Infallible>) -> (u16, String) {
        let answer = answer.unwrap();
        let status = answer.status().as_u16();
        let Ok(body) = answer.into_body().collect().await else { panic!("no body") };
        let body: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        (status, body["reason"].as_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up_after_fifteen_seconds() {
        let begun = tokio::time::Instant::now();
        let answer = limited(Request::new(never()), |request| async {
            drop(to_bytes(request.into_body(), 10).await);
            panic!("it never comes");
        });
        assert_eq!(told(answer.await).await, (408, "REQUEST_TIMEOUT".to_owned()));
        assert_eq!(begun.elapsed(), BODY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_has_ten_seconds_from_when_the_body_has_come() {
        for body in [Body::empty(), Body::from("all of it"), never()] {
            let begun = tokio::time::Instant::now();
            let answer = limited(Request::new(body), |request| async {
                // What is not read is not waited for.
                if request.body().size_hint().exact().is_some() {
                    drop(to_bytes(request.into_body(), 10).await);
                } else {
                    drop(request);
                }
                pending().await
            });
            assert_eq!(told(answer.await).await, (504, "DEADLINE_EXCEEDED".to_owned()));
            assert_eq!(begun.elapsed(), HANDLER);
        }
    }
}

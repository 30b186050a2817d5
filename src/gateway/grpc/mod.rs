//! The gRPC branch: the only place that names tonic's service machinery.

pub(super) mod convert;
mod deadline;
mod feed;
pub(super) mod frames;
mod health;
mod reflection;
mod service;
mod side_requests;
mod side_stream;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use grpcchatter_proto::v1::chat_service_server::ChatServiceServer;
use http::{Request, Response, Uri};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};
use tower::{Service as _, ServiceExt as _, util::BoxCloneSyncService};

pub use self::health::Health;
pub(super) use self::{
    feed::FeedBody,
    service::Service,
    side_stream::{SideStream, SideStreams},
};
use self::{
    side_requests::{MAX_SIDE_REQUEST_BYTES, Paying},
    side_stream::Opening,
};
use super::{
    access,
    body::Body,
    connection::Peer,
    figures::OpenStream,
    patience::Streaming,
    refusal,
    route::{Call, Dialect, LEGACY_SERVICE, Method, Route, SERVICE},
};
use crate::{
    domain::{Budget, Rooms, chat::Chat, payer},
    model::{Error, Result},
};

/// The largest request, in bytes. tonic reserves as much as a prefix says before the bytes come.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Marks a call under the original's service name, in a request's extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Legacy;

type Erased = BoxCloneSyncService<Request<tonic::body::Body>, Response<tonic::body::Body>, Infallible>;

/// Serves every gRPC method. It stands below auth, so whoever arrives may call. Clones share the services.
#[derive(Clone)]
pub(super) struct Grpc(Arc<Services>);

struct Services {
    chat: ChatServiceServer<Service>,
    health: Erased,
    reflection: Erased,
    budget: Budget,
}

impl Grpc {
    /// Makes the services of these, and the handle to their health. What is asked inside a stream is paid for out of
    /// `budget`.
    pub(super) fn new(rooms: Rooms, chat: Chat, budget: Budget) -> (Self, Health) {
        let (health, handle) = Health::new();
        let chat =
            ChatServiceServer::new(Service::new(rooms, chat)).max_decoding_message_size(MAX_REQUEST_BYTES);
        let services = Services {
            chat,
            health: BoxCloneSyncService::new(health.max_decoding_message_size(MAX_SIDE_REQUEST_BYTES)),
            reflection: BoxCloneSyncService::new(reflection::service()),
            budget,
        };
        (Self(Arc::new(services)), handle)
    }

    async fn answer(self, mut request: Request<tonic::body::Body>) -> Response<Body> {
        let Some(Route::Grpc(dialect, Call::Known { method, legacy })) =
            request.extensions().get::<Route>().cloned()
        else {
            return refusal::answer(Dialect::Grpc, Error::Internal);
        };
        let deadline = match deadline::of(request.headers()) {
            Ok(asked) => asked.map(|after| Instant::now() + after),
            Err(error) => return refusal::answer(dialect, error),
        };
        let side = match self.open_aside(method, &mut request) {
            Ok(side) => side,
            Err(error) => return refusal::answer(dialect, error),
        };
        let answering = async {
            match method {
                Method::HealthCheck | Method::HealthWatch => translate(serve(&self.0.health, request).await),
                Method::Reflection | Method::ReflectionAlpha => {
                    *request.uri_mut() = canonical(method);
                    translate(serve(&self.0.reflection, request).await)
                }
                _ => {
                    if legacy {
                        request.extensions_mut().insert(Legacy);
                        *request.uri_mut() = canonical(method);
                    }
                    let Ok(response) = self.0.chat.clone().call(request).await;
                    translate(response)
                }
            }
        };
        let until = if method.is_streaming() { deadline } else { Some(deadline::of_unary(deadline)) };
        let answered = match until {
            Some(until) => timeout_at(until, answering).await,
            None => Ok(answering.await),
        };
        if let Some(error) = side.as_ref().and_then(Opening::refused) {
            return refusal::answer(dialect, error);
        }
        match answered {
            Ok(mut response) => {
                let counted = || OpenStream::new(dialect, method, legacy);
                match side.filter(|_| !response.headers().contains_key("grpc-status")) {
                    Some(side) => {
                        response.extensions_mut().insert(Streaming);
                        response.map(|body| Body::Side(Box::new(side.stream(body, deadline, counted()))))
                    }
                    None => feed::take(response, deadline, counted),
                }
            }
            Err(_) => refusal::answer(dialect, Error::DeadlineExceeded),
        }
    }

    /// Takes a place for a stream that is not a room's, and has what is asked in it paid for.
    fn open_aside(
        &self,
        method: Method,
        request: &mut Request<tonic::body::Body>,
    ) -> Result<Option<Opening>> {
        if !matches!(method, Method::HealthWatch | Method::Reflection | Method::ReflectionAlpha) {
            return Ok(None);
        }
        let peer = request.extensions().get::<Peer>().ok_or(Error::Internal)?;
        let side = peer.side_streams.open()?;
        let (budget, payer) = (self.0.budget.clone(), payer().ok_or(Error::Internal)?);
        let paying = Paying { budget, payer, cost: access::cost_of_method(method) };
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = side.bound(body, paying);
        Ok(Some(side))
    }
}

impl tower::Service<Request<tonic::body::Body>> for Grpc {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // tonic's services are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let answering = self.clone().answer(request);
        Box::pin(async { Ok(answering.await) })
    }
}

async fn serve(service: &Erased, request: Request<tonic::body::Body>) -> Response<tonic::body::Body> {
    let Ok(response) = service.clone().oneshot(request).await;
    response
}

fn canonical(method: Method) -> Uri {
    method.canonical_path().parse().expect("the name of a method is a path")
}

/// Says in our words what tonic refuses by itself: too large a request, and one that is not what it should be.
fn translate(response: Response<tonic::body::Body>) -> Response<tonic::body::Body> {
    let refused = Status::from_header_map(response.headers());
    match refused.filter(|status| status.code() != Code::Ok && status.details().is_empty()) {
        Some(status) => Status::from(from_tonic(&status)).into_http(),
        None => response,
    }
}

/// Returns what is wrong where tonic says it: our own refusals carry details, its do not.
fn from_tonic(status: &Status) -> Error {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => Error::TooLarge { limit: MAX_REQUEST_BYTES },
        Code::Internal | Code::InvalidArgument | Code::DataLoss | Code::Unknown => {
            tracing::debug!(%status, "a request could not be read");
            Error::InvalidField {
                field: "request",
                problem: "the request is not the protobuf message that it should be",
            }
        }
        Code::Unimplemented => Error::UnsupportedEncoding,
        Code::Cancelled => Error::InvalidField { field: "request", problem: "the request broke off" },
        _ => {
            tracing::error!(%status, "tonic refused a call in a way that is not expected");
            Error::Internal
        }
    }
}

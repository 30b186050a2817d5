//! gRPC: calls the generated services directly, without tonic's router and server.

mod service;
mod room_stream;
pub(super) mod frames;
mod convert;
mod reflection;
mod health;
mod auxiliary_stream;
mod auxiliary_requests;
mod trailers;
mod decode_error;
mod deadline;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use grpcchatter_proto::v1::chat_service_server::ChatServiceServer;
use http::{Request, Response, Uri};
use tokio::time::{Instant, timeout_at};
use tower::{Service as _, ServiceExt as _, util::BoxCloneSyncService};

pub use self::health::Health;
use self::{
    auxiliary_requests::{Charge, MAX_AUXILIARY_REQUEST_BYTES},
    auxiliary_stream::AuxiliaryPermit,
    decode_error::{MAX_REQUEST_BYTES, translate},
    service::Service,
};
use super::{
    body::{Body, Streaming},
    call_metrics::StreamMetrics,
    peer::Peer,
    refusal,
    route::{self, Call, Dialect, Method, Route},
};
use crate::{
    domain::{Budget, Rooms, chat::Chat, payer},
    model::{Error, Result},
};

type BoxedService = BoxCloneSyncService<Request<tonic::body::Body>, Response<tonic::body::Body>, Infallible>;

/// Serves every gRPC method, below authentication. Clones share the services.
#[derive(Clone)]
pub(super) struct Grpc(Arc<Services>);

struct Services {
    chat: ChatServiceServer<Service>,
    health: BoxedService,
    reflection: BoxedService,
    budget: Budget,
}

impl Grpc {
    /// Makes the services, and the handle to their health. Requests inside an auxiliary stream are charged to `budget`.
    pub(super) fn new(rooms: Rooms, chat: Chat, budget: Budget) -> (Self, Health) {
        let (health, handle) = Health::new();
        let chat =
            ChatServiceServer::new(Service::new(rooms, chat)).max_decoding_message_size(MAX_REQUEST_BYTES);
        let services = Services {
            chat,
            health: BoxCloneSyncService::new(health.max_decoding_message_size(MAX_AUXILIARY_REQUEST_BYTES)),
            reflection: BoxCloneSyncService::new(reflection::service()),
            budget,
        };
        (Self(Arc::new(services)), handle)
    }

    async fn respond(self, mut request: Request<tonic::body::Body>) -> Response<Body> {
        let Route::Grpc(dialect, Call::Known { method, legacy }) = *Route::of(&request) else {
            return refusal::refuse(Dialect::Grpc, Error::Internal);
        };
        let deadline = match deadline::requested_timeout(request.headers()) {
            Ok(timeout) => timeout.map(|timeout| Instant::now() + timeout),
            Err(error) => return refusal::refuse(dialect, error),
        };
        let auxiliary = match self.acquire_auxiliary(method, &mut request) {
            Ok(permit) => permit,
            Err(error) => return refusal::refuse(dialect, error),
        };
        let response = async {
            match method {
                Method::HealthCheck | Method::HealthWatch => translate(serve(&self.0.health, request).await),
                Method::Reflection | Method::ReflectionAlpha => {
                    *request.uri_mut() = canonical(method);
                    translate(serve(&self.0.reflection, request).await)
                }
                _ => {
                    if legacy {
                        *request.uri_mut() = canonical(method);
                    }
                    let Ok(response) = self.0.chat.clone().call(request).await;
                    translate(response)
                }
            }
        };
        let until = if method.is_streaming() { deadline } else { Some(deadline::unary(deadline)) };
        let response = match until {
            Some(until) => timeout_at(until, response).await,
            None => Ok(response.await),
        };
        if let Some(error) = auxiliary.as_ref().and_then(AuxiliaryPermit::request_error) {
            return refusal::refuse(dialect, error);
        }
        match response {
            Ok(mut response) => {
                let metrics = || StreamMetrics::new(dialect, method, legacy);
                match auxiliary.filter(|_| !response.headers().contains_key("grpc-status")) {
                    Some(permit) => {
                        response.extensions_mut().insert(Streaming::Auxiliary);
                        response.map(|body| {
                            Body::Grpc(tonic::body::Body::new(permit.into_stream(body, deadline, metrics())))
                        })
                    }
                    None => room_stream::attach(response, deadline, metrics),
                }
            }
            Err(_) => refusal::refuse(dialect, Error::DeadlineExceeded),
        }
    }

    /// Acquires the permit of an auxiliary stream, and charges the requests in its body; none for any other method.
    fn acquire_auxiliary(
        &self,
        method: Method,
        request: &mut Request<tonic::body::Body>,
    ) -> Result<Option<AuxiliaryPermit>> {
        if !matches!(method, Method::HealthWatch | Method::Reflection | Method::ReflectionAlpha) {
            return Ok(None);
        }
        let peer = request.extensions().get::<Peer>().ok_or(Error::Internal)?;
        let permit = AuxiliaryPermit::acquire(peer)?;
        let (budget, payer) = (self.0.budget.clone(), payer().ok_or(Error::Internal)?);
        let charge = Charge { budget, payer, cost: route::method_cost(method) };
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = permit.wrap_request(body, charge);
        Ok(Some(permit))
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
        let response = self.clone().respond(request);
        Box::pin(async { Ok(response.await) })
    }
}

async fn serve(service: &BoxedService, request: Request<tonic::body::Body>) -> Response<tonic::body::Body> {
    let Ok(response) = service.clone().oneshot(request).await;
    response
}

fn canonical(method: Method) -> Uri {
    method.canonical_path().parse().expect("the path of a method is valid")
}

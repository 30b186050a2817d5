//! Everything that happens to a request, as one ordered list of layers.
//!
//! A request passes the list from top to bottom, and its response from bottom to top.

use std::{convert::Infallible, net::IpAddr, path::PathBuf, sync::Arc};

use http::{Request, Response, header};
use ipnet::IpNet;
use tonic_web::GrpcWebLayer;
use tower::{Service, ServiceBuilder, layer::layer_fn, util::BoxCloneSyncService};
use tower_http::{
    request_id::{PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::SetSensitiveRequestHeadersLayer,
};

use super::{
    body::Body,
    credentials::TOKEN,
    grpc::{Grpc, Health},
    incoming::Incoming,
    layers::{
        access_log,
        auth::AuthLayer,
        body_limit, catch_panic, client_address, cors, exposure, from_fn, host, metrics,
        origin::{self, Origins},
        refusal_delay,
        request_id::{self, RequestIds},
        response_body::{self, GuardedBody},
        response_headers, rest_timeout,
        unread_request::{self, RequestBody},
    },
    peer::Peer,
    response_memory::{ConnectionMemory, ResponseMemory},
    rest::{self, MetricsToken, ReadGauges, Readiness, RestState},
    route::{self, Route},
    steer::{Branch, Branches, Steer},
    trusted_proxies::TrustedProxies,
};
use crate::{
    clock::Clock,
    domain::{Accounts, Budget, Chat, Rooms, Tokens},
    metrics::Gauges,
};

/// The parts of the server that the gateway calls, and its settings.
pub struct Parts {
    /// Accounts.
    pub accounts: Accounts,
    /// Tokens.
    pub tokens: Tokens,
    /// The budget of each caller.
    pub budget: Budget,
    /// Rooms.
    pub rooms: Rooms,
    /// Messages and streams.
    pub chat: Chat,
    /// Returns whether the server is ready.
    pub readiness: Readiness,
    /// Reads the gauges of /metrics.
    pub gauges: ReadGauges,
    /// METRICS_TOKEN; none: /metrics serves this machine only.
    pub metrics_token: Option<MetricsToken>,
    /// CORS_ORIGINS: origins of other sites whose pages may call.
    pub cors_origins: Vec<String>,
    /// TRUSTED_PROXIES: proxies whose forwarding headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// A folder whose files are served instead of the compiled page.
    pub web_dir: Option<PathBuf>,
    /// Memory of responses that are not sent yet, in bytes.
    pub response_memory: usize,
    /// Whether browsers must use TLS.
    pub strict_transport: bool,
    /// The source of time and randomness.
    pub clock: Clock,
}

/// All layers, as one service.
type Layers = BoxCloneSyncService<Request<Incoming>, Response<GuardedBody>, Infallible>;

/// The stack of all layers.
pub struct Stack {
    service: Layers,
    trusted_proxies: TrustedProxies,
    memory: ResponseMemory,
}

impl Stack {
    /// Builds the stack, and returns the handle to the health of the services.
    pub fn new(parts: Parts) -> (Self, Health) {
        let memory = ResponseMemory::new(parts.response_memory);
        let trusted_proxies = TrustedProxies::new(parts.trusted_proxies.as_slice());
        let proxies = trusted_proxies.clone();
        let origins = Origins::new(&parts.cors_origins, trusted_proxies.clone());
        let cors = (!parts.cors_origins.is_empty()).then(|| cors::layer(&parts.cors_origins));
        let budget = parts.budget.clone();
        let (steer, health) = build_steer(&parts, &memory);

        let service = ServiceBuilder::new()
            // Outermost, since it replaces the body of the final response.
            .layer(from_fn((), response_body::guard))
            .layer(from_fn(parts.strict_transport, response_headers::add))
            // Above all that holds memory for the request.
            .layer(from_fn(budget, refusal_delay::delay))
            .layer(from_fn((), unread_request::read_rest))
            // The layers below read the client's address, the request id and the route from the extensions.
            .map_request(move |request| client_address::insert(&proxies, request))
            .map_request(request_id::remove_unsafe)
            .layer(SetRequestIdLayer::x_request_id(RequestIds::new(&parts.clock)))
            .layer(PropagateRequestIdLayer::x_request_id())
            // Hides these headers from the log, so above all that logs.
            .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, TOKEN]))
            .map_request(route::insert)
            // Above all that refuses, so that every refusal is logged and counted.
            .layer(from_fn((), access_log::log))
            .layer(from_fn((), metrics::count))
            // Above CORS, since a preflight request for what is not served here is refused too.
            .layer(from_fn((), exposure::check))
            // Above all that refuses, so that pages can read refusals. Answers preflight requests itself.
            .option_layer(cors)
            // Halves the nesting of types: without it the library's debug build is twice as large.
            .layer(layer_fn(Branch::new))
            // Above all that may panic.
            .layer(from_fn((), catch_panic::catch_panic))
            .map_request(host::check)
            // Above authentication, which charges the call.
            .layer(from_fn(origins, origin::check))
            // To gRPC, gRPC-web or REST, whose own layers are in build_steer.
            .service(steer);
        (Self { service: BoxCloneSyncService::new(service), trusted_proxies, memory }, health)
    }

    /// Returns the memory of all responses.
    pub(super) const fn memory(&self) -> &ResponseMemory {
        &self.memory
    }

    /// Returns the memory of the responses on a new connection.
    pub(super) fn connection_memory(&self, peer: IpAddr) -> ConnectionMemory {
        if self.trusted_proxies.contains(peer) {
            self.memory.shared_connection()
        } else {
            self.memory.connection()
        }
    }

    /// Returns the service of one connection.
    pub(super) fn for_peer(self: &Arc<Self>, peer: Peer) -> PeerService {
        PeerService { stack: Arc::clone(self), peer }
    }
}

/// Builds the end of the list: the steer, with the layers of each branch.
fn build_steer(parts: &Parts, memory: &ResponseMemory) -> (Steer, Health) {
    let auth = AuthLayer::new(parts.tokens.clone(), parts.budget.clone());
    let (service, health) = Grpc::new(parts.rooms.clone(), parts.chat.clone(), parts.budget.clone());
    let grpc = ServiceBuilder::new().map_request(to_tonic).layer(auth.clone()).service(service.clone());
    let grpc_web = ServiceBuilder::new()
        .map_request(to_tonic)
        .map_response(|response: Response<tonic::body::Body>| response.map(Body::from))
        // Above authentication, which then knows one kind of gRPC refusal.
        .layer(GrpcWebLayer::new())
        .layer(auth.clone())
        .service(service);
    let rest = ServiceBuilder::new()
        // Above authentication, so that no path and no caller is charged for such a body.
        .layer(from_fn(rest::MAX_BYTES, body_limit::check))
        .map_request(|request: Request<RequestBody>| request.map(axum::body::Body::new))
        .layer(from_fn((), rest_timeout::limit))
        .layer(auth)
        .map_response(|response: Response<axum::body::Body>| response.map(Body::from))
        .service(rest::router(RestState {
            accounts: parts.accounts.clone(),
            readiness: Arc::clone(&parts.readiness),
            gauges: with_memory(Arc::clone(&parts.gauges), memory.clone()),
            metrics_token: parts.metrics_token.clone(),
            web_dir: parts.web_dir.clone(),
        }));
    let [grpc, grpc_web, rest] = [Branch::new(grpc), Branch::new(grpc_web), Branch::new(rest)];
    (Steer(Arc::new(Branches { grpc, grpc_web, rest, budget: parts.budget.clone() })), health)
}

/// Converts a request of gRPC or gRPC-web to what tonic and tonic-web expect.
fn to_tonic(mut request: Request<RequestBody>) -> Request<tonic::body::Body> {
    let dialect = Route::of(&request).dialect();
    route::normalise(request.headers_mut(), dialect);
    request.map(tonic::body::Body::new)
}

/// Adds the gauges of the gateway.
fn with_memory(gauges: ReadGauges, memory: ResponseMemory) -> ReadGauges {
    Arc::new(move || Gauges { answer_bytes: memory.reserved(), ..gauges() })
}

/// The service of one connection, which puts its [`Peer`] into the extensions of every request.
pub(super) struct PeerService {
    stack: Arc<Stack>,
    peer: Peer,
}

/// The future of a response.
type Responding = <Layers as Service<Request<Incoming>>>::Future;

impl PeerService {
    /// Responds to a request.
    pub(super) fn respond(&self, mut request: Request<Incoming>) -> Responding {
        request.extensions_mut().insert(self.peer.clone());
        // Every layer is always ready.
        self.stack.service.clone().call(request)
    }
}

impl hyper::service::Service<Request<hyper::body::Incoming>> for PeerService {
    type Response = Response<GuardedBody>;
    type Error = Infallible;
    type Future = Responding;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Responding {
        self.respond(request.map(Incoming::Left))
    }
}

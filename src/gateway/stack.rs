//! What every request passes through, in order, and the steer: gRPC to tonic, everything else to axum.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use http::{HeaderName, HeaderValue, Method as Verb, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use ipnet::IpNet;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _, util::BoxCloneSyncService};
use tower_http::{
    cors::{AllowOrigin, CorsLayer},
    request_id::{PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::SetSensitiveRequestHeadersLayer,
};

use super::{
    ClientAddress, Gauges, MetricsToken, Readiness,
    answer_headers::AnswerHeaders,
    answer_memory::{AnswerMemory, ConnectionMemory},
    auth::{Auth, AuthLayer, TOKEN},
    body::Body,
    connection::Peer,
    figures::Counted,
    grpc::{Grpc, Health},
    lent::{Lent, lend},
    origin::{self, Origins},
    patience::{MayLieUnread, Paced, Streaming},
    refusal::{self, TooOften},
    rest, rest_limits,
    route::{Dialect, Refused, Route, normalise},
    status::refuse,
    trace::{RequestIds, TraceLayer, with_plain_id},
    trace_context::{TRACEPARENT, TRACERESPONSE, TRACESTATE},
};
use crate::{
    clock::Clock,
    domain::{Accounts, Budget, Chat, Cost, Rooms, Tokens},
    metrics::Levels,
    model::{Error, Payer},
};

/// What the gateway stands on.
pub struct Parts {
    /// Accounts.
    pub accounts: Accounts,
    /// Tokens.
    pub tokens: Tokens,
    /// What each caller may spend.
    pub budget: Budget,
    /// Rooms.
    pub rooms: Rooms,
    /// What is done inside rooms.
    pub chat: Chat,
    /// Says whether requests should be sent here.
    pub readiness: Readiness,
    /// Tells what stands at a moment, for /metrics.
    pub gauges: Gauges,
    /// The token that /metrics asks for; none: this machine alone.
    pub metrics_token: Option<MetricsToken>,
    /// The origins of other sites that may call.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The folder that holds the page in place of the one in the program.
    pub web_dir: Option<PathBuf>,
    /// Bytes of memory for answers that are not read yet.
    pub answer_memory: usize,
    /// Whether browsers are told to come by TLS alone.
    pub strict_transport: bool,
    /// Where request ids begin.
    pub clock: Clock,
}

const NOT_ONE_HOST: Refused = Refused {
    status: StatusCode::BAD_REQUEST,
    sentence: "a request names one host: by Host once, or by :authority and the same Host",
    reason: "INVALID_HOST",
    header: None,
};

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// The whole of the gateway behind a connection. Clones share everything.
#[derive(Clone)]
pub struct Stack {
    service: BoxCloneSyncService<Request<Lent>, Response<Body>, Infallible>,
    trusted_proxies: Arc<[IpNet]>,
    answers_preflights: bool,
    memory: AnswerMemory,
    budget: Budget,
    strict_transport: bool,
}

impl Stack {
    /// Puts the layers on one another, outermost first, and returns the handle to the services' health.
    pub fn new(parts: Parts) -> (Self, Health) {
        let auth = AuthLayer::new(parts.tokens, parts.budget.clone());
        let memory = AnswerMemory::new(parts.answer_memory);
        let trusted_proxies: Arc<[IpNet]> = parts.trusted_proxies.into();
        let rest = rest::Rest {
            accounts: parts.accounts,
            readiness: parts.readiness,
            gauges: with_memory(parts.gauges, memory.clone()),
            metrics_token: parts.metrics_token,
            web_dir: parts.web_dir,
        };
        let (grpc, health) = Grpc::new(parts.rooms, parts.chat, parts.budget.clone());
        let steer = Steer {
            origins: Origins::new(&parts.cors_origins, Arc::clone(&trusted_proxies)),
            grpc: auth.layer(grpc.clone()),
            grpc_web: GrpcWebLayer::new().layer(auth.layer(grpc)),
            rest: auth.layer(Rest(rest::router(rest))),
            budget: parts.budget.clone(),
        };
        let service = ServiceBuilder::new()
            .map_request(with_plain_id)
            .layer(SetRequestIdLayer::x_request_id(RequestIds::new(&parts.clock)))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, TOKEN]))
            // Preflights have no dialect: they are answered before one is looked for.
            .option_layer((!parts.cors_origins.is_empty()).then(|| cors(&parts.cors_origins)))
            .layer(TraceLayer)
            .service(steer);
        let stack = Self {
            service: BoxCloneSyncService::new(service),
            trusted_proxies,
            answers_preflights: !parts.cors_origins.is_empty(),
            memory,
            budget: parts.budget,
            strict_transport: parts.strict_transport,
        };
        (stack, health)
    }

    /// Returns the memory of all answers.
    pub(super) const fn memory(&self) -> &AnswerMemory {
        &self.memory
    }

    /// Begins to count the answers to a peer.
    pub(super) fn answers_to(&self, peer: IpAddr) -> ConnectionMemory {
        self.memory.connection(is_trusted(peer, &self.trusted_proxies))
    }

    /// Returns the service of one connection.
    pub(super) fn for_peer(self: Arc<Self>, peer: Peer) -> PeerService {
        PeerService { stack: self, peer }
    }
}

/// Adds to what is told what the gateway itself knows.
fn with_memory(gauges: Gauges, memory: AnswerMemory) -> Gauges {
    Arc::new(move || Levels { answer_bytes: memory.taken(), ..gauges() })
}

/// Puts who is calling into every request of a connection.
pub(super) struct PeerService {
    stack: Arc<Stack>,
    peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for PeerService {
    type Response = Response<Paced>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Paced>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let strict_transport = self.stack.strict_transport;
        let is_http1 = request.version() < Version::HTTP_2;
        let (requests, sending) = (self.peer.requests.clone(), self.peer.sending.clone());
        let asked = is_http1.then(|| requests.begin(sending.clone()));
        let answer = move |mut response: Response<Body>| {
            AnswerHeaders { strict_transport, is_last: is_http1 && requests.is_last() }.write(&mut response);
            Ok(Paced::new(response, asked))
        };
        let (mut request, lender) = lend(request);
        if !self.peer.door.leads_to(request.uri().path()) {
            let counted = Counted::begin(&Route::Rest, &request);
            let mut refused = refuse(&Error::PathNotFound).map(Body::from);
            counted.answer(&refused, Duration::ZERO);
            drop(request);
            return Box::pin(async move {
                lender.settle(&mut refused).await;
                answer(refused)
            });
        }
        // Preflights are answered above what counts.
        let preflight = (self.stack.answers_preflights && request.method() == Verb::OPTIONS)
            .then(|| Counted::begin(&Route::Rest, &request));
        let address = client(&request, self.peer.address, &self.stack.trusted_proxies);
        request.extensions_mut().insert(ClientAddress(address));
        request.extensions_mut().insert(self.peer.clone());
        let answering = self.stack.service.clone().oneshot(request);
        let budget = self.stack.budget.clone();
        sending.stream(false);
        Box::pin(async move {
            let mut response = answering.await?;
            if let Some(preflight) = preflight {
                preflight.answer(&response, Duration::ZERO);
            }
            sending.exempt(response.extensions().get::<MayLieUnread>().is_some());
            sending.stream(response.extensions().get::<Streaming>().is_some());
            lender.settle(&mut response).await;
            // Here, where the request and what the layers made of it are gone: what is held costs little.
            if let Some(TooOften(payer)) = response.extensions_mut().remove() {
                budget.hold_back(payer).await;
            }
            answer(response)
        })
    }
}

/// Returns the address of the client: the last one in `X-Forwarded-For` that no trusted proxy has, if the peer is
/// a trusted proxy itself.
fn client<B>(request: &Request<B>, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let named = request.headers().get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let addresses: Vec<Option<IpAddr>> =
        named.flat_map(|list| list.split(',')).map(|text| forwarded(text.trim())).collect();
    // What stands before something unreadable may be made up.
    let read = addresses.into_iter().rev().map_while(|address| address);
    read.map(|address| address.to_canonical()).find(|address| !is_trusted(*address, trusted)).unwrap_or(peer)
}

/// Says whether an address is a trusted proxy's.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address.to_canonical()))
}

/// Reads an address as proxies write it: alone, with a port, or in brackets.
fn forwarded(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let name = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Verb::GET, Verb::POST, Verb::PUT, Verb::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            TOKEN,
            name("x-grpc-web"),
            name("x-user-agent"),
            name("grpc-timeout"),
            TRACEPARENT,
            TRACESTATE,
        ])
        .expose_headers([
            name("grpc-status"),
            name("grpc-message"),
            name("grpc-status-details-bin"),
            name("x-request-id"),
            TRACERESPONSE,
            header::RETRY_AFTER,
        ])
        .max_age(Duration::from_secs(7_200))
}

/// Sends each request to the branch of its dialect. By request, never by connection: a connection carries both.
#[derive(Clone)]
struct Steer {
    origins: Origins,
    grpc: Auth<Grpc>,
    grpc_web: GrpcWebService<Auth<Grpc>>,
    rest: Auth<Rest>,
    budget: Budget,
}

impl Service<Request<Lent>> for Steer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Every branch is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Lent>) -> Answering {
        let route = request.extensions().get::<Route>().cloned().unwrap_or(Route::Rest);
        let route = if origin::names_one_host(&request) { route } else { Route::Refused(NOT_ONE_HOST) };
        match route {
            Route::Rest | Route::Grpc(Dialect::GrpcWeb | Dialect::GrpcWebText, _)
                if self.origins.is_foreign(&request) =>
            {
                let refused = refusal::answer_above(route.dialect(), Error::ForeignOrigin);
                Box::pin(std::future::ready(Ok(refused)))
            }
            Route::Refused(refused) => {
                let is_head = request.method() == Verb::HEAD;
                let payer = request.extensions().get::<ClientAddress>().map(|client| Payer::at(client.0));
                let budget = self.budget.clone();
                Box::pin(async move {
                    let mut response = refusal::http(refused);
                    // It stands above what pays for calls.
                    if let Some(payer) = payer
                        && let Err(error) = budget.pay(payer, Cost::Read)
                    {
                        response = refusal::answer(Dialect::Rest, error);
                        response.extensions_mut().insert(TooOften(payer));
                    }
                    if is_head {
                        *response.body_mut() = Body::default();
                    }
                    Ok(response)
                })
            }
            Route::Grpc(dialect, _) => {
                normalise(request.headers_mut(), dialect);
                let request = request.map(tonic::body::Body::new);
                if dialect == Dialect::Grpc {
                    return self.grpc.call(request);
                }
                let answering = self.grpc_web.call(request);
                Box::pin(async { Ok(answering.await?.map(Body::from)) })
            }
            // What says that it is too large is not read, whoever sends it and whatever the path.
            Route::Rest if request.body().size_hint().lower() > rest::MAX_BYTES as u64 => {
                let refused = refuse(&Error::TooLarge { limit: rest::MAX_BYTES });
                Box::pin(std::future::ready(Ok(refused.map(Body::from))))
            }
            Route::Rest => {
                let mut rest = self.rest.clone();
                let call = move |request| rest.call(request);
                Box::pin(rest_limits::limited(request.map(axum::body::Body::new), call))
            }
        }
    }
}

/// axum's router with the gateway's body.
#[derive(Clone)]
struct Rest(Router);

impl Service<Request<axum::body::Body>> for Rest {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<axum::body::Body>>::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, request: Request<axum::body::Body>) -> Answering {
        let answering = self.0.call(request);
        Box::pin(async { Ok(answering.await?.map(Body::from)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let seen = |peer: &str, header: &str| {
            let request = Request::builder().header("x-forwarded-for", header).body(()).unwrap();
            client(&request, peer.parse().unwrap(), &trusted).to_string()
        };
        assert_eq!(seen("192.0.2.1", "198.51.100.7"), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", "198.51.100.7"), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2"), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", "198.51.100.7, junk"), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", ""), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", "198.51.100.7:567"), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", "198.51.100.7, 10.0.0.2:80"), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", "[2001:db8::1]:5"), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", "[2001:db8::1]"), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", "2001:db8::1"), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", "[198.51.100.7]:567"), "10.0.0.1");
    }
}

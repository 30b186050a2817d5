//! The service `grpc.health.v1`. Unlike tonic's own, it keeps a watch of an unknown service open with `SERVICE_UNKNOWN`, as
//! the protocol requires.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health as HealthMethods, HealthServer},
};

use crate::{
    gateway::route::{LEGACY_SERVICE, SERVICE},
    model::Error,
};

/// The services whose health is known. The empty name is the whole server.
const SERVICES: [&str; 3] = ["", SERVICE, LEGACY_SERVICE];

/// The handle to the health of all services. Clones share it.
#[derive(Clone, Debug)]
pub struct Health(watch::Sender<bool>);

impl Health {
    /// Makes the service, and the handle to it.
    pub(super) fn new() -> (HealthServer<impl HealthMethods>, Self) {
        let (sender, serving) = watch::channel(true);
        (HealthServer::new(HealthService(serving)), Self(sender))
    }

    /// Sets whether the services are up.
    pub fn set(&self, serving: bool) {
        self.0.send_replace(serving);
    }
}

struct HealthService(watch::Receiver<bool>);

#[tonic::async_trait]
impl HealthMethods for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Error::ServiceNotFound.into());
        }
        let serving = *self.0.borrow();
        Ok(Response::new(response(state(serving))))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            // No service is added later. The stream ends as every auxiliary stream does.
            let unknown = stream::iter([Ok(response(ServingStatus::ServiceUnknown))]);
            return Ok(Response::new(unknown.chain(stream::pending()).boxed()));
        }
        let states = stream::unfold((self.0.clone(), true), |(mut serving, is_first)| async move {
            if !is_first {
                serving.changed().await.ok()?;
            }
            let now = *serving.borrow_and_update();
            Some((Ok(response(state(now))), (serving, false)))
        });
        Ok(Response::new(states.boxed()))
    }
}

const fn state(serving: bool) -> ServingStatus {
    if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

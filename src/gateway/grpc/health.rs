//! `grpc.health.v1`: whether the services are up. tonic's own service ends a watch of a service that it does not know, where
//! the protocol keeps it open and says `SERVICE_UNKNOWN`.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health as Calls, HealthServer},
};

use super::{LEGACY_SERVICE, SERVICE};
use crate::model::Error;

/// The services that are known, from the first to the last moment; the empty name is all of them.
const KNOWN: [&str; 3] = ["", SERVICE, LEGACY_SERVICE];

/// Says whether the services are up, to those who ask `grpc.health.v1`. Clones share the state.
#[derive(Clone, Debug)]
pub struct Health(watch::Sender<bool>);

impl Health {
    /// Makes the service, and the handle to what it says.
    pub(super) fn new() -> (HealthServer<impl Calls>, Self) {
        let (sender, serving) = watch::channel(true);
        (HealthServer::new(Asked(serving)), Self(sender))
    }

    /// Says whether the services are up.
    pub fn set(&self, serving: bool) {
        self.0.send_replace(serving);
    }
}

/// What is asked.
struct Asked(watch::Receiver<bool>);

#[tonic::async_trait]
impl Calls for Asked {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !KNOWN.contains(&request.get_ref().service.as_str()) {
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
        if !KNOWN.contains(&request.get_ref().service.as_str()) {
            // No service comes later. The stream ends as every side stream does.
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

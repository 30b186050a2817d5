//! Who sent a request: the peer of the connection, and the client that a trusted proxy names.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    http1_writes::Http1Writes, keep_alive::KeepAlive, response_memory::ConnectionMemory, route::paths,
};
use crate::domain::Connection;

/// The address of the client: the peer's, or the one that a trusted proxy names. In the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// The endpoints that a listening address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Every endpoint.
    All,
    /// Every endpoint but /metrics, which METRICS_ADDRESS serves.
    AllButMetrics,
    /// /metrics, /livez and /readyz.
    MetricsOnly,
}

impl Exposure {
    /// Returns whether a path is served.
    pub(super) fn serves(self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::AllButMetrics => path != paths::METRICS,
            Self::MetricsOnly => matches!(path, paths::METRICS | paths::LIVEZ | paths::READYZ),
        }
    }
}

/// The other end of a connection, in the extensions of every request on it.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Address of the client, or of its proxy.
    pub(super) address: IpAddr,
    /// The endpoints of the address that the peer connected to.
    pub(super) exposure: Exposure,
    /// Index of the shard that serves the connection.
    pub(super) shard: usize,
    /// The connection's entry in the hub.
    pub(super) connection: Arc<Connection>,
    /// Cancelled when the server drains, or when the grace of a connection at its maximum age ends.
    pub(super) retiring: CancellationToken,
    /// Limits the auxiliary streams (health watches and reflection) that are open at a time.
    pub(super) auxiliary_streams: Arc<Semaphore>,
    /// Memory of the connection's responses.
    pub(super) memory: ConnectionMemory,
    /// HTTP/1.1 only: how fast the peer reads.
    pub(super) writes: Http1Writes,
    /// HTTP/1.1 only: timeouts between responses.
    pub(super) keep_alive: KeepAlive,
}

/// Maximum number of open auxiliary streams on one connection: a client needs one or two, a proxy a few.
pub(super) const MAX_AUXILIARY_STREAMS: usize = 16;

impl Peer {
    /// Describes the peer of a new connection.
    pub(super) fn new(
        address: IpAddr,
        exposure: Exposure,
        shard: usize,
        memory: ConnectionMemory,
        keep_alive: KeepAlive,
        retiring: CancellationToken,
    ) -> Self {
        Self {
            address,
            exposure,
            shard,
            connection: Arc::default(),
            retiring,
            auxiliary_streams: Arc::new(Semaphore::new(MAX_AUXILIARY_STREAMS)),
            memory,
            writes: Http1Writes::default(),
            keep_alive,
        }
    }

    /// Records that a request has arrived over HTTP/1.1. Dropping the result ends its response.
    pub(super) fn request_arrived(&self) -> Http1Response {
        self.keep_alive.request_started();
        self.writes.set_stream(false);
        Http1Response { keep_alive: self.keep_alive.clone(), writes: self.writes.clone() }
    }
}

/// A response in progress over HTTP/1.1, until it is dropped.
#[derive(Debug)]
pub(super) struct Http1Response {
    keep_alive: KeepAlive,
    writes: Http1Writes,
}

impl Drop for Http1Response {
    fn drop(&mut self) {
        // From here on the end of the response is in hyper's buffer, so the minimum rate applies to a room's stream too.
        self.writes.set_exempt(false);
        self.keep_alive.response_ended();
    }
}

#[cfg(test)]
mod tests {
    use std::{task::Poll, time::Duration};

    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_response_ends_its_exemption_from_the_minimum_rate() {
        let keep_alive = KeepAlive::new(Duration::from_secs(75), CancellationToken::new());
        keep_alive.request_started();
        let writes = Http1Writes::default();
        let response = Http1Response { keep_alive: keep_alive.clone(), writes: writes.clone() };
        writes.set_exempt(true);
        writes.wrote(1, &Poll::Pending);
        assert_eq!((writes.deadline(false), keep_alive.deadline()), (None, None));
        drop(response);
        assert!(writes.deadline(false).is_some() && keep_alive.deadline().is_some());
    }
}

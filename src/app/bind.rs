//! Binds the addresses of the server.

use std::net::{SocketAddr, TcpListener};

use super::StartError;
use crate::gateway::{Exposure, Listener};

/// Binds `addresses`, or uses `sockets` in their place, and binds the metrics address. Returns the listeners, and the
/// addresses where everything is served, with the ports that the system chose.
pub(super) fn bind(
    sockets: Vec<TcpListener>,
    addresses: &[SocketAddr],
    metrics: Option<SocketAddr>,
) -> Result<(Vec<Listener>, Vec<SocketAddr>), StartError> {
    let mut listeners = Vec::new();
    let mut bound = Vec::new();
    let failed_by = |setting, address| move |cause| StartError::Bind { setting, address, cause };
    let failed = |address| failed_by("SERVER_ADDRESS and SERVER_PORT", address);
    let exposure = if metrics.is_some() { Exposure::AllButMetrics } else { Exposure::All };
    for &address in addresses.iter().filter(|_| sockets.is_empty()) {
        let listener = Listener::bind(address, exposure).map_err(failed(address))?;
        bound.push(listener.local_addr().map_err(failed(address))?);
        listeners.push(listener);
    }
    for socket in sockets {
        let address = socket.local_addr().map_err(StartError::Passed)?;
        bound.push(address);
        listeners.push(Listener::from_socket(socket, exposure).map_err(failed(address))?);
    }
    if let Some(address) = metrics {
        let listener =
            Listener::bind(address, Exposure::MetricsOnly).map_err(failed_by("METRICS_ADDRESS", address))?;
        let address = listener.local_addr().map_err(failed_by("METRICS_ADDRESS", address))?;
        tracing::info!(%address, "metrics are served on a separate address");
        listeners.push(listener);
    }
    Ok((listeners, bound))
}

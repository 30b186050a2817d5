use std::net::{SocketAddr, TcpListener};

use super::StartError;
use crate::gateway::{Door, Listener};

/// Binds every address, or takes the sockets that were bound already, and the one of the figures besides. Returns the
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
    let door = if metrics.is_some() { Door::AllButMetrics } else { Door::Everything };
    for &address in addresses.iter().filter(|_| sockets.is_empty()) {
        let listener = Listener::bind(address, door).map_err(failed(address))?;
        bound.push(listener.local_addr().map_err(failed(address))?);
        listeners.push(listener);
    }
    for socket in sockets {
        let address = socket.local_addr().map_err(StartError::Passed)?;
        bound.push(address);
        listeners.push(Listener::passed(socket, door).map_err(failed(address))?);
    }
    if let Some(address) = metrics {
        let listener =
            Listener::bind(address, Door::Metrics).map_err(failed_by("METRICS_ADDRESS", address))?;
        let address = listener.local_addr().map_err(failed_by("METRICS_ADDRESS", address))?;
        tracing::info!(%address, "the figures have an address of their own");
        listeners.push(listener);
    }
    Ok((listeners, bound))
}

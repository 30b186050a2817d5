//! Notifications to systemd (`sd_notify(3)`) and sockets from it (socket activation). Without systemd both do nothing.

#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::{
    env, io,
    net::TcpListener,
    os::unix::net::{SocketAddr, UnixDatagram},
};

use listenfd::ListenFd;

/// A change of the service's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The server is ready.
    Ready,
    /// The server drains.
    Stopping,
}

/// Notifies systemd, if it asked for it (`Type=notify`).
pub fn notify(state: State) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    let message = match state {
        State::Ready => "READY=1",
        State::Stopping => "STOPPING=1",
    };
    let send = || -> io::Result<()> {
        let name = socket.as_encoded_bytes();
        let address = match name.strip_prefix(b"@") {
            #[cfg(target_os = "linux")]
            Some(name) => SocketAddr::from_abstract_name(name)?,
            // Only Linux has abstract names.
            #[cfg(not(target_os = "linux"))]
            Some(_) => return Err(io::ErrorKind::Unsupported.into()),
            None => SocketAddr::from_pathname(&socket)?,
        };
        UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)?;
        Ok(())
    };
    if let Err(error) = send() {
        tracing::warn!(%error, "systemd could not be notified of {message}");
    }
}

/// Returns the sockets that systemd has bound for this process, which replace the configured addresses.
///
/// # Errors
/// Where a passed file descriptor is not a TCP socket.
pub fn sockets() -> io::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    let sockets = (0..passed.len()).map(|at| passed.take_tcp_listener(at));
    sockets.filter_map(Result::transpose).collect()
}

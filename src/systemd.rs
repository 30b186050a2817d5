//! What systemd is told and what it hands over: `sd_notify(3)` and socket activation. Elsewhere all of it is nothing.

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
    /// Requests are welcome.
    Ready,
    /// The end has begun.
    Stopping,
}

/// Tells systemd, where it asked to be told (`Type=notify`).
pub fn notify(state: State) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    let message = match state {
        State::Ready => "READY=1",
        State::Stopping => "STOPPING=1",
    };
    let told = || -> io::Result<()> {
        let name = socket.as_encoded_bytes();
        let address = match name.strip_prefix(b"@") {
            #[cfg(target_os = "linux")]
            Some(name) => SocketAddr::from_abstract_name(name)?,
            // Linux alone has names that are no files.
            #[cfg(not(target_os = "linux"))]
            Some(_) => return Err(io::ErrorKind::Unsupported.into()),
            None => SocketAddr::from_pathname(&socket)?,
        };
        UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)?;
        Ok(())
    };
    if let Err(error) = told() {
        tracing::warn!(%error, "systemd could not be told {message}");
    }
}

/// Returns the sockets that systemd has bound for this process: they count in place of the settings' addresses.
///
/// # Errors
/// Where what was handed over is no TCP socket.
pub fn sockets() -> io::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    let sockets = (0..passed.len()).map(|at| passed.take_tcp_listener(at));
    sockets.filter_map(Result::transpose).collect()
}

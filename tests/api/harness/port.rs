//! A port for a server that comes later, or comes back.

use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpSocket;

/// A port that nobody else is given while this is there. The server that it is kept for binds it beside this, since both
/// allow that and this one does not listen; a port that was let go could be another test's by then.
pub(crate) struct KeptPort(TcpSocket);

impl KeptPort {
    /// Keeps a port of the system's choice.
    pub(crate) fn on(address: IpAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::new(address, 0)).unwrap();
        Self(socket)
    }

    /// Returns the port.
    pub(crate) fn number(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}

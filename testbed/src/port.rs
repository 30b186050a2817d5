//! A port for a server that starts later, or again.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::net::TcpSocket;

/// A port that the system gives to nobody else while this exists. The socket is bound and does not listen, so the server
/// can bind the port beside it; a port that was free a moment ago could be another test's by then.
#[derive(Debug)]
pub struct ReservedPort {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl ReservedPort {
    /// Reserves a port of the system's choice.
    ///
    /// # Errors
    /// If the machine does not have the address.
    pub fn on(address: Ipv4Addr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((address, 0).into())?;
        Ok(Self { address: socket.local_addr()?, _socket: socket })
    }

    /// Returns the address with the port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the port.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.address.port()
    }
}

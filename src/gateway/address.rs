use std::net::IpAddr;

/// Where a request comes from, in its extensions: the peer, or the client that a trusted proxy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

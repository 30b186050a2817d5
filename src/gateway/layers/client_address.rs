//! Decides the address of the client: the peer's, or the one that a trusted proxy names.

use std::net::{IpAddr, SocketAddr};

use http::Request;

use crate::gateway::{
    peer::{ClientAddress, Peer},
    trusted_proxies::TrustedProxies,
};

/// Puts the [`ClientAddress`] into a request's extensions.
pub(in crate::gateway) fn insert<B>(trusted: &TrustedProxies, mut request: Request<B>) -> Request<B> {
    if let Some(peer) = request.extensions().get::<Peer>() {
        let address = client_address(&request, peer.address, trusted);
        request.extensions_mut().insert(ClientAddress(address));
    }
    request
}

/// Returns the peer's address, unless the peer is a trusted proxy. Then returns the last address in `X-Forwarded-For` that is
/// not a trusted proxy's. Addresses before one that cannot be parsed are ignored. If none is left, the peer is the client.
fn client_address<B>(request: &Request<B>, peer: IpAddr, trusted: &TrustedProxies) -> IpAddr {
    if !trusted.contains(peer) {
        return peer;
    }
    let values = request.headers().get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let addresses: Vec<Option<IpAddr>> =
        values.flat_map(|list| list.split(',')).map(|text| parse(text.trim())).collect();
    // Addresses before one that cannot be parsed may be forged.
    let parsed = addresses.into_iter().rev().map_while(|address| address);
    parsed.map(|address| address.to_canonical()).find(|address| !trusted.contains(*address)).unwrap_or(peer)
}

/// Parses an address in one of the forms that proxies write: alone, with a port, or in brackets.
fn parse(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let seen = |peer: &str, header: &str| {
            let request = Request::builder().header("x-forwarded-for", header).body(()).unwrap();
            client_address(&request, peer.parse().unwrap(), &trusted).to_string()
        };
        assert_eq!(seen("192.0.2.1", "198.51.100.7"), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", "198.51.100.7"), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2"), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", "198.51.100.7, junk"), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", ""), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", "198.51.100.7:567"), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", "198.51.100.7, 10.0.0.2:80"), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", "[2001:db8::1]:5"), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", "[2001:db8::1]"), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", "2001:db8::1"), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", "[198.51.100.7]:567"), "10.0.0.1");
    }
}

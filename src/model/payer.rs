use std::net::{IpAddr, Ipv6Addr};

use super::UserId;

/// Who is charged for what a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Payer {
    /// A user, wherever they call from.
    User(UserId),
    /// A network from which somebody calls without a token.
    Network(Network),
}

impl Payer {
    /// Returns the payer of what an address asks for without a token.
    pub fn at(address: IpAddr) -> Self {
        Self::Network(Network::of(address))
    }
}

/// What one customer of a provider holds: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// Returns the network of an address.
    pub fn of(address: IpAddr) -> Self {
        Self(prefix(address, 64))
    }

    /// Returns what one customer may hold at most: an IPv4 address, or an IPv6 /48.
    #[must_use]
    pub fn region(self) -> Self {
        Self(prefix(self.0, 48))
    }
}

fn prefix(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits))).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_one_address_of_an_ipv6_network_has_them_all() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("2001:db8:1:2::1").region(), network("2001:db8:1:3::1").region());
        assert_ne!(network("2001:db8:1::1").region(), network("2001:db8:2::1").region());
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_ne!(network("192.0.2.7").region(), network("192.0.2.8").region());
    }
}

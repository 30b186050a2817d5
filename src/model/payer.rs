//! The payer of a call: a user or a network.

use std::net::{IpAddr, Ipv6Addr};

use super::UserId;

/// The user or network that a call is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Payer {
    /// A user, whatever their address.
    User(UserId),
    /// The network of a caller without a token.
    Network(Network),
}

impl Payer {
    /// Returns the payer of calls from an address without a token.
    pub fn at(address: IpAddr) -> Self {
        Self::Network(Network::of(address))
    }
}

/// The addresses of one subscriber of a provider: one IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// Returns the network of an address.
    pub fn of(address: IpAddr) -> Self {
        Self(prefix(address, 64))
    }

    /// Returns the largest network that one subscriber may hold: one IPv4 address, or an IPv6 /48.
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
    fn addresses_of_one_ipv6_prefix_are_one_network() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("2001:db8:1:2::1").region(), network("2001:db8:1:3::1").region());
        assert_ne!(network("2001:db8:1::1").region(), network("2001:db8:2::1").region());
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_ne!(network("192.0.2.7").region(), network("192.0.2.8").region());
    }
}

//! The proxies whose forwarding headers are trusted: TRUSTED_PROXIES.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

/// The networks of trusted proxies. Clones share the list.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Trusts these networks.
    pub(super) fn new(networks: impl Into<Arc<[IpNet]>>) -> Self {
        Self(networks.into())
    }

    /// Returns whether an address belongs to a trusted proxy.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address.to_canonical()))
    }
}

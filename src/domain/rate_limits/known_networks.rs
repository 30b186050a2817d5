//! The networks from which users have logged in to an account.

use std::time::Duration;

/// The networks from which users have logged in to one account, the latest last.
#[derive(Debug, Default)]
pub(super) struct KnownNetworks([Option<KnownNetwork>; MAX_NETWORKS]);

#[derive(Clone, Copy, Debug)]
struct KnownNetwork {
    /// The network, hashed with a random key.
    network: u64,
    /// When the last login from there was, in seconds.
    last: u64,
}

/// How many networks are remembered for one account, the latest ones: a home, an office, some phones.
const MAX_NETWORKS: usize = 8;

/// How long a network is remembered: 30 days.
const MEMORY_SECONDS: u64 = 30 * 24 * 60 * 60;

impl KnownNetworks {
    /// Remembers a login from this network.
    pub(super) fn remember(&mut self, network: u64, now: Duration) {
        let known = self.0.iter().position(|known| known.is_some_and(|known| known.network == network));
        // The network's old entry, or else the oldest of all, moves to the end and is overwritten.
        self.0[known.unwrap_or(0)..].rotate_left(1);
        self.0[MAX_NETWORKS - 1] = Some(KnownNetwork { network, last: now.as_secs() });
    }

    /// Returns whether a login from this network is remembered.
    pub(super) fn contains(&self, network: u64, now: Duration) -> bool {
        let is_fresh = |known: &KnownNetwork| now.as_secs().saturating_sub(known.last) <= MEMORY_SECONDS;
        self.0.iter().flatten().any(|known| known.network == network && is_fresh(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn the_latest_networks_are_remembered() {
        let mut networks = KnownNetworks::default();
        assert!(!networks.contains(1, NOW));
        for network in 1..=8 {
            networks.remember(network, NOW);
        }
        networks.remember(1, NOW);
        networks.remember(9, NOW);
        assert!((3..=9).chain([1]).all(|network| networks.contains(network, NOW)), "{networks:?}");
        assert!(!networks.contains(2, NOW), "the oldest was replaced");
    }

    #[test]
    fn a_network_is_forgotten_after_thirty_days() {
        let mut networks = KnownNetworks::default();
        networks.remember(1, NOW);
        let days = |days: u64| NOW + Duration::from_secs(days * 24 * 60 * 60);
        assert!(networks.contains(1, days(30)));
        assert!(!networks.contains(1, days(31)));
    }
}

use std::time::Duration;

/// The networks from which somebody has logged in to one account, the latest last.
#[derive(Debug, Default)]
pub(super) struct Homes([Option<Home>; MOST]);

#[derive(Clone, Copy, Debug)]
struct Home {
    /// A hash of the network, with the guard's random key.
    network: u64,
    /// When somebody logged in from there last, in seconds.
    last: u64,
}

/// So many networks of one account are remembered, the latest: a home, an office, some phones.
const MOST: usize = 8;

/// For so long.
const MEMORY_SECONDS: u64 = 30 * 24 * 60 * 60;

impl Homes {
    /// Remembers that somebody logged in from this network.
    pub(super) fn remember(&mut self, network: u64, now: Duration) {
        let known = self.0.iter().position(|home| home.is_some_and(|home| home.network == network));
        // The oldest makes room: whatever is in its place is moved to the end, and written over.
        self.0[known.unwrap_or(0)..].rotate_left(1);
        self.0[MOST - 1] = Some(Home { network, last: now.as_secs() });
    }

    /// Says whether somebody has logged in from this network.
    pub(super) fn contains(&self, network: u64, now: Duration) -> bool {
        let is_fresh = |home: &Home| now.as_secs().saturating_sub(home.last) <= MEMORY_SECONDS;
        self.0.iter().flatten().any(|home| home.network == network && is_fresh(home))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn the_latest_networks_are_remembered() {
        let mut homes = Homes::default();
        assert!(!homes.contains(1, NOW));
        for network in 1..=8 {
            homes.remember(network, NOW);
        }
        homes.remember(1, NOW);
        homes.remember(9, NOW);
        assert!((3..=9).chain([1]).all(|network| homes.contains(network, NOW)), "{homes:?}");
        assert!(!homes.contains(2, NOW), "the oldest made room");
    }

    #[test]
    fn a_network_is_forgotten_after_thirty_days() {
        let mut homes = Homes::default();
        homes.remember(1, NOW);
        let days = |days: u64| NOW + Duration::from_secs(days * 24 * 60 * 60);
        assert!(homes.contains(1, days(30)));
        assert!(!homes.contains(1, days(31)));
    }
}

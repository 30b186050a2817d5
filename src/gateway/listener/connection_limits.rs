//! Limits how many connections are open, in all and from one address, and how fast one address opens new ones.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    domain::{Budget, Cost},
    gateway::trusted_proxies::TrustedProxies,
    model::{Network, Payer},
    sparse_log::SparseLog,
};

/// The limits of open connections; none: no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub max: Option<usize>,
    /// From one address; of IPv6, from one /64.
    pub max_per_address: Option<usize>,
}

/// Divides `max_per_address` once half of all connections are open, so that a few addresses cannot hold all of them.
const TIGHT_DIVISOR: usize = 8;

/// The limit that a connection exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OverLimit {
    /// Open connections in all.
    Max,
    /// Open connections from one address.
    PerAddress,
    /// New connections from one address.
    Rate,
}

impl OverLimit {
    /// Logs that a connection was closed: at WARN once a minute for each limit.
    pub(super) fn log(self, address: IpAddr) {
        static LOGS: [SparseLog; 3] = [const { SparseLog::by_the_minute() }; 3];
        let (setting, remedy) = match self {
            Self::Max => ("MAX_CONNECTIONS", "raise it, and what the system lets the process open"),
            Self::PerAddress => ("MAX_CONNECTIONS_PER_ADDRESS", ADDRESS_REMEDY),
            Self::Rate => ("ANONYMOUS_PER_SECOND", ADDRESS_REMEDY),
        };
        tracing::debug!(%address, setting, "a connection over the limit was closed");
        if let Some(left_out) = LOGS[self as usize].left_out() {
            tracing::warn!(
                %address, setting, left_out,
                "a connection over the limit was closed; where it is not an attack: {remedy}"
            );
        }
    }
}

/// What an operator can do where one address exceeds its limit.
const ADDRESS_REMEDY: &str = "raise the setting, or name the address in TRUSTED_PROXIES if it is a proxy's";

/// Counts open connections. Clones share the counts.
#[derive(Clone)]
pub struct ConnectionLimit(Arc<Inner>);

struct Inner {
    limits: Limits,
    trusted_proxies: TrustedProxies,
    budget: Budget,
    open: AtomicUsize,
    /// Notified when the last open connection has ended.
    idle: Notify,
    /// Open connections of each network. Its lock also guards the check of `open`.
    by_address: Mutex<HashMap<Network, usize>>,
}

/// Counts one connection as open until it is dropped.
pub(super) struct ConnectionPermit {
    limit: ConnectionLimit,
    network: Network,
}

impl ConnectionLimit {
    /// Starts with no open connection. New connections are charged to `budget`, since a handshake costs more than many calls.
    /// Trusted proxies carry many users each: they are not charged, and only `max` limits them.
    pub fn new(limits: Limits, trusted_proxies: Vec<IpNet>, budget: Budget) -> Self {
        let (open, by_address) = (AtomicUsize::new(0), Mutex::default());
        let trusted_proxies = TrustedProxies::new(trusted_proxies);
        Self(Arc::new(Inner { limits, trusted_proxies, budget, open, idle: Notify::new(), by_address }))
    }

    /// Waits until no connection is open.
    pub async fn idle(&self) {
        loop {
            // Created before the count is read, so that no end in between is missed.
            let idle = self.0.idle.notified();
            if self.open() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Returns how many connections are open.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Counts a new connection.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub(super) fn acquire(&self, address: IpAddr) -> Result<ConnectionPermit, OverLimit> {
        let inner = &self.0;
        let network = Network::of(address);
        let is_trusted = inner.trusted_proxies.contains(address);
        if !is_trusted && inner.budget.pay(Payer::Network(network), Cost::Connection).is_err() {
            return Err(OverLimit::Rate);
        }
        // Both counts are checked and raised under one lock: there may be several listeners.
        let mut by_address = inner.by_address.lock();
        let open = inner.open.load(Ordering::Relaxed);
        if inner.limits.max.is_some_and(|max| open >= max) {
            return Err(OverLimit::Max);
        }
        let is_tight = inner.limits.max.is_some_and(|max| open >= max / 2);
        let per_address = |max: usize| if is_tight { max.div_ceil(TIGHT_DIVISOR) } else { max };
        let count = by_address.entry(network).or_default();
        if !is_trusted && inner.limits.max_per_address.is_some_and(|max| *count >= per_address(max)) {
            return Err(OverLimit::PerAddress);
        }
        *count += 1;
        inner.open.fetch_add(1, Ordering::Relaxed);
        Ok(ConnectionPermit { limit: self.clone(), network })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let inner = &self.limit.0;
        if inner.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            inner.idle.notify_waiters();
        }
        let mut by_address = inner.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, domain::BudgetConfig, model::Timestamp};

    fn limit(max: Option<usize>, max_per_address: Option<usize>, proxies: Vec<IpNet>) -> ConnectionLimit {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let budget = Budget::new(BudgetConfig { anonymous_per_second: 10, ..BudgetConfig::default() }, clock);
        ConnectionLimit::new(Limits { max, max_per_address }, proxies, budget)
    }

    #[test]
    fn new_connections_are_charged() {
        let limit = limit(None, None, vec!["198.51.100.0/24".parse().unwrap()]);
        let accepted =
            |address: &str| (0..500).filter(|_| limit.acquire(address.parse().unwrap()).is_ok()).count();
        assert_eq!(accepted("192.0.2.1"), 100, "a burst of ten seconds, even of closed connections");
        assert_eq!(accepted("192.0.2.2"), 100);
        assert_eq!(accepted("198.51.100.1"), 500, "a trusted proxy");
    }

    #[test]
    fn a_connection_over_the_limit_is_refused_and_open_ones_stay() {
        let limit = limit(Some(6), Some(2), vec![]);
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = limit.acquire(here).expect("a permit");
        let _second = limit.acquire(here).expect("a permit");
        assert_eq!(limit.acquire(here).err(), Some(OverLimit::PerAddress));
        let _third = limit.acquire(there).expect("a permit");
        drop(first);
        assert!(limit.acquire(here).is_ok());
        assert_ne!(limit.open(), 0);
    }

    #[test]
    fn a_few_addresses_do_not_hold_all_connections() {
        let proxies = vec!["198.51.100.0/24".parse().unwrap()];
        let limit = limit(Some(100), Some(32), proxies);
        let mut taken = Vec::new();
        let mut take_all = |address: String| {
            let address = address.parse().unwrap();
            let before = taken.len();
            taken.extend(std::iter::from_fn(|| limit.acquire(address).ok()));
            taken.len() - before
        };
        assert_eq!([1, 2].map(|host| take_all(format!("192.0.2.{host}"))), [32, 18]);
        // Half of all are open.
        assert_eq!(take_all("192.0.2.3".into()), 4);
        assert_eq!(take_all("198.51.100.1".into()), 100 - 32 - 18 - 4, "a trusted proxy");
        assert_eq!(limit.acquire("198.51.100.2".parse().unwrap()).err(), Some(OverLimit::Max));
    }

    #[tokio::test]
    async fn the_limit_is_idle_once_the_last_connection_has_ended() {
        let limit = limit(None, None, vec![]);
        limit.idle().await;
        let permits = [1, 2].map(|host| limit.acquire([192, 0, 2, host].into()).expect("a permit"));
        let idle = tokio::spawn({
            let limit = limit.clone();
            async move { limit.idle().await }
        });
        for permit in permits {
            tokio::task::yield_now().await;
            assert!(!idle.is_finished());
            drop(permit);
        }
        idle.await.unwrap();
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let limit = limit(None, Some(1), vec![]);
        let _permit = limit.acquire("2001:db8::1".parse().unwrap()).expect("a permit");
        assert!(limit.acquire("2001:db8::2".parse().unwrap()).is_err());
        assert!(limit.acquire("2001:db8:0:1::2".parse().unwrap()).is_ok());
    }
}

//! How many connections may be open, in all and from one address.

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

use super::stack::is_trusted;
use crate::{
    domain::{Budget, Cost},
    model::{Network, Payer},
    sparse_log::SparseLog,
};

/// The bounds on connections; none: no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub max: Option<usize>,
    /// From one address; of IPv6, from one /64.
    pub max_per_address: Option<usize>,
}

/// Which part of the connections from one address may be taken when half of all are: so a few addresses cannot hold all.
const WHEN_TIGHT: usize = 8;

/// The limit over which a connection was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OverLimit {
    /// Of all connections.
    Max,
    /// Of those from one address.
    PerAddress,
    /// Of new ones from one address.
    Rate,
}

impl OverLimit {
    /// Says in the log that a connection was refused, for the first of a minute.
    pub(super) fn log(self, address: IpAddr) {
        static LOGS: [SparseLog; 3] = [const { SparseLog::by_the_minute() }; 3];
        let (setting, remedy) = match self {
            Self::Max => ("MAX_CONNECTIONS", "raise it, and what the system lets the process open"),
            Self::PerAddress => ("MAX_CONNECTIONS_PER_ADDRESS", PROXY),
            Self::Rate => ("ANONYMOUS_PER_SECOND", PROXY),
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

/// What to do where an address has too many connections.
const PROXY: &str = "raise the setting, or name the address in TRUSTED_PROXIES if it is a proxy's";

/// Counts open connections. Clones share the counts.
#[derive(Clone)]
pub struct Seats(Arc<SeatsInner>);

struct SeatsInner {
    limits: Limits,
    trusted_proxies: Vec<IpNet>,
    budget: Budget,
    taken: AtomicUsize,
    /// Guards both counts against being raised over a limit.
    by_address: Mutex<HashMap<Network, usize>>,
}

/// One open connection; dropping it makes room for another.
pub(super) struct Seat {
    seats: Seats,
    network: Network,
}

impl Seats {
    /// Counts from zero. New connections are paid for out of `budget`, since a handshake costs more than many calls. Trusted
    /// proxies, behind each of which there are many people, pay for none and may have as many as there are.
    pub fn new(limits: Limits, trusted_proxies: Vec<IpNet>, budget: Budget) -> Self {
        let (taken, by_address) = (AtomicUsize::new(0), Mutex::default());
        Self(Arc::new(SeatsInner { limits, trusted_proxies, budget, taken, by_address }))
    }

    /// Says whether no connection is open.
    pub fn are_free(&self) -> bool {
        self.taken() == 0
    }

    /// Returns how many connections are open.
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Takes a place for a connection.
    pub(super) fn take(&self, address: IpAddr) -> Result<Seat, OverLimit> {
        let inner = &self.0;
        let network = Network::of(address);
        let is_trusted = is_trusted(address, &inner.trusted_proxies);
        if !is_trusted && inner.budget.pay(Payer::Network(network), Cost::Connection).is_err() {
            return Err(OverLimit::Rate);
        }
        // Both counts are looked at and raised under one lock: there may be several listeners.
        let mut by_address = inner.by_address.lock();
        let taken = inner.taken.load(Ordering::Relaxed);
        if inner.limits.max.is_some_and(|max| taken >= max) {
            return Err(OverLimit::Max);
        }
        let is_tight = inner.limits.max.is_some_and(|max| taken >= max / 2);
        let of_one = |max: usize| if is_tight { max.div_ceil(WHEN_TIGHT) } else { max };
        let count = by_address.entry(network).or_default();
        if !is_trusted && inner.limits.max_per_address.is_some_and(|max| *count >= of_one(max)) {
            return Err(OverLimit::PerAddress);
        }
        *count += 1;
        inner.taken.fetch_add(1, Ordering::Relaxed);
        Ok(Seat { seats: self.clone(), network })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let inner = &self.seats.0;
        inner.taken.fetch_sub(1, Ordering::Relaxed);
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

    fn seats(max: Option<usize>, max_per_address: Option<usize>, proxies: Vec<IpNet>) -> Seats {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let budget = Budget::new(BudgetConfig { anonymous_per_second: 10, ..BudgetConfig::default() }, clock);
        Seats::new(Limits { max, max_per_address }, proxies, budget)
    }

    #[test]
    fn new_connections_are_paid_for() {
        let seats = seats(None, None, vec!["198.51.100.0/24".parse().unwrap()]);
        let come = |address: &str| (0..500).filter(|_| seats.take(address.parse().unwrap()).is_ok()).count();
        assert_eq!(come("192.0.2.1"), 100, "ten seconds' worth, however soon they end");
        assert_eq!(come("192.0.2.2"), 100);
        assert_eq!(come("198.51.100.1"), 500, "behind it there are many people");
    }

    #[test]
    fn the_newcomer_over_the_limit_is_refused_and_the_others_stay() {
        let seats = seats(Some(6), Some(2), vec![]);
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = seats.take(here).expect("a seat");
        let _second = seats.take(here).expect("a seat");
        assert_eq!(seats.take(here).err(), Some(OverLimit::PerAddress));
        let _third = seats.take(there).expect("a seat");
        drop(first);
        assert!(seats.take(here).is_ok());
        assert!(!seats.are_free());
    }

    #[test]
    fn a_few_addresses_do_not_hold_all_connections() {
        let proxies = vec!["198.51.100.0/24".parse().unwrap()];
        let seats = seats(Some(100), Some(32), proxies);
        let mut taken = Vec::new();
        let mut take_all = |address: String| {
            let address = address.parse().unwrap();
            let before = taken.len();
            taken.extend(std::iter::from_fn(|| seats.take(address).ok()));
            taken.len() - before
        };
        assert_eq!([1, 2].map(|host| take_all(format!("192.0.2.{host}"))), [32, 18]);
        // Half are taken.
        assert_eq!(take_all("192.0.2.3".into()), 4);
        assert_eq!(take_all("198.51.100.1".into()), 100 - 32 - 18 - 4, "behind it there are many people");
        assert_eq!(seats.take("198.51.100.2".parse().unwrap()).err(), Some(OverLimit::Max));
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let seats = seats(None, Some(1), vec![]);
        let _seat = seats.take("2001:db8::1".parse().unwrap()).expect("a seat");
        assert!(seats.take("2001:db8::2".parse().unwrap()).is_err());
        assert!(seats.take("2001:db8:0:1::2".parse().unwrap()).is_ok());
    }
}

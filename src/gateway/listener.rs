//! The accept loop: takes connections, bounds their number, hands each to a shard.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{net::TcpListener, sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    connection::{self, Lifetime, Peer},
    stack::{Stack, is_trusted},
    tls::Tls,
};
use crate::{
    audit,
    clock::Clock,
    domain::{Budget, Cost},
    metrics::{CONNECTIONS_ACCEPTED, CONNECTIONS_REFUSED},
    model::{Network, Payer},
};

/// How many connections wait in the kernel to be taken.
const BACKLOG: i32 = 4_096;

/// How many connections wait for their shard.
const HANDED: usize = 1_024;

/// How long to wait when the system gives no more descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long what was sent may go unacknowledged. A stream over HTTP/1.1 whose peer is gone without a word is found by
/// it, and it begins with the next heartbeat, after 15 seconds at most: both together stay under 45 seconds.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(25);

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

/// What may be asked for at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Everything.
    Everything,
    /// Everything but /metrics, which has an address of its own.
    AllButMetrics,
    /// /metrics and the probes.
    Metrics,
}

impl Door {
    pub(super) fn leads_to(self, path: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::AllButMetrics => path != "/metrics",
            Self::Metrics => matches!(path, "/metrics" | "/livez" | "/readyz"),
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    door: Door,
}

/// A connection on its way to its shard.
struct Accepted {
    socket: std::net::TcpStream,
    address: IpAddr,
    door: Door,
    seat: Seat,
}

/// The end of a shard at which connections come in.
#[derive(Debug)]
pub struct Shard(mpsc::Receiver<Accepted>);

/// The ends of all shards at which connections are put in.
#[derive(Clone, Debug)]
pub struct Shards(Arc<[mpsc::Sender<Accepted>]>);

/// Makes so many shards.
pub fn shards(count: usize) -> (Shards, Vec<Shard>) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(HANDED)).unzip();
    (Shards(senders.into()), receivers.into_iter().map(Shard).collect())
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(address: SocketAddr, door: Door) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket: socket.into(), door })
    }

    /// Takes a socket that listens already.
    ///
    /// # Errors
    /// What the system says.
    pub fn passed(socket: std::net::TcpListener, door: Door) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, door })
    }

    /// Returns the address, with the port that the system chose.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes connections until `stop`, and hands them to the shards by turns. Must run on a tokio runtime.
    ///
    /// # Errors
    /// Where the runtime does not take the socket.
    pub async fn run(self, shards: Shards, seats: Seats, stop: CancellationToken) -> io::Result<()> {
        let listener = TcpListener::from_std(self.socket)?;
        let mut turn = 0_usize;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return Ok(()),
            };
            let (socket, address) = match accepted {
                Ok((socket, peer)) => (socket, peer.ip().to_canonical()),
                Err(error) => {
                    // A peer that is gone already, or no descriptors: waiting helps against the second.
                    tracing::warn!(%error, "a connection could not be taken");
                    if is_exhaustion(&error) {
                        sleep(EXHAUSTED).await;
                    }
                    continue;
                }
            };
            CONNECTIONS_ACCEPTED.increment();
            let Some(seat) = seats.take(address) else {
                CONNECTIONS_REFUSED.increment();
                audit::limit_hit(Payer::at(address), Some(address), None, "TOO_MANY_CONNECTIONS");
                continue;
            };
            if let Err(error) = prepare(&socket) {
                tracing::debug!(%error, "a socket's options could not be set");
            }
            let Ok(socket) = socket.into_std() else { continue };
            turn = turn.wrapping_add(1);
            let shard = &shards.0[turn % shards.0.len()];
            if shard.try_send(Accepted { socket, address, door: self.door, seat }).is_err() {
                tracing::warn!("a shard is too busy to take a connection");
            }
        }
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    // ENFILE, EMFILE, ENOBUFS, ENOMEM on Linux.
    matches!(error.raw_os_error(), Some(23 | 24 | 105 | 12))
}

fn prepare(socket: &tokio::net::TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

impl Shard {
    /// Serves the connections that are handed to shard `index`, each in a task of the runtime that this runs on,
    /// until the accept loops have ended.
    pub async fn serve(
        mut self,
        index: usize,
        stack: Arc<Stack>,
        tls: Option<Tls>,
        lifetime: Lifetime,
        clock: Clock,
    ) {
        while let Some(Accepted { socket, address, door, seat }) = self.0.recv().await {
            let socket = match tokio::net::TcpStream::from_std(socket) {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be registered");
                    continue;
                }
            };
            let age = lifetime.age.map(|age| jittered(age, &clock));
            let (lifetime, retiring) = lifetime.of_one(age);
            let answers = stack.answers_to(address);
            let peer = Peer::new(address, door, index, answers, retiring.clone());
            let (stack, tls) = (Arc::clone(&stack), tls.clone());
            let served = async move {
                connection::serve(socket, tls, peer, stack, lifetime, retiring).await;
                drop(seat);
            };
            tokio::spawn(served.instrument(tracing::Span::none()));
        }
    }
}

/// Returns `age` ± 10 %, so that connections that came together do not go together.
fn jittered(age: Duration, clock: &Clock) -> Duration {
    let [byte] = clock.random::<1>();
    age.mul_f64(0.9 + 0.2 * f64::from(byte) / 255.0)
}

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
struct Seat {
    seats: Seats,
    network: Network,
}

impl Seats {
    /// Counts from zero. New connections are paid for out of `budget`, since a handshake costs more than many calls. Trusted
    /// proxies, behind each of which there are many people, pay for none, and may have as many when there are few left.
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

    fn take(&self, address: IpAddr) -> Option<Seat> {
        let inner = &self.0;
        let network = Network::of(address);
        let is_trusted = is_trusted(address, &inner.trusted_proxies);
        if !is_trusted && inner.budget.pay(Payer::Network(network), Cost::Connection).is_err() {
            return None;
        }
        // Both counts are looked at and raised under one lock: there may be several listeners.
        let mut by_address = inner.by_address.lock();
        if inner.limits.max.is_some_and(|max| inner.taken.load(Ordering::Relaxed) >= max) {
            return None;
        }
        let is_tight = inner.limits.max.is_some_and(|max| inner.taken.load(Ordering::Relaxed) >= max / 2);
        let is_tight = is_tight && !is_trusted;
        let of_one = |max: usize| if is_tight { max.div_ceil(WHEN_TIGHT) } else { max };
        let count = by_address.entry(network).or_default();
        if inner.limits.max_per_address.is_some_and(|max| *count >= of_one(max)) {
            return None;
        }
        *count += 1;
        inner.taken.fetch_add(1, Ordering::Relaxed);
        Some(Seat { seats: self.clone(), network })
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
    use crate::{domain::BudgetConfig, model::Timestamp};

    fn seats(max: Option<usize>, max_per_address: Option<usize>, proxies: Vec<IpNet>) -> Seats {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let budget = Budget::new(BudgetConfig { anonymous_per_second: 10, ..BudgetConfig::default() }, clock);
        Seats::new(Limits { max, max_per_address }, proxies, budget)
    }

    #[test]
    fn new_connections_are_paid_for() {
        let seats = seats(None, None, vec!["198.51.100.0/24".parse().unwrap()]);
        let come = |address: &str| (0..500).filter_map(|_| seats.take(address.parse().unwrap())).count();
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
        assert!(seats.take(here).is_none());
        let _third = seats.take(there).expect("a seat");
        drop(first);
        assert!(seats.take(here).is_some());
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
            taken.extend(std::iter::from_fn(|| seats.take(address)));
            taken.len() - before
        };
        assert_eq!([1, 2].map(|host| take_all(format!("192.0.2.{host}"))), [32, 18]);
        // Half are taken.
        assert_eq!(take_all("192.0.2.3".into()), 4);
        assert_eq!(take_all("198.51.100.1".into()), 32, "behind it there are many people");
        let others: usize = (4..100).map(|host| take_all(format!("192.0.2.{host}"))).sum();
        assert_eq!(others, 100 - 32 - 18 - 4 - 32);
        assert_eq!(take_all("198.51.100.2".into()), 0);
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let seats = seats(None, Some(1), vec![]);
        let _seat = seats.take("2001:db8::1".parse().unwrap()).expect("a seat");
        assert!(seats.take("2001:db8::2".parse().unwrap()).is_none());
        assert!(seats.take("2001:db8:0:1::2".parse().unwrap()).is_some());
    }
}

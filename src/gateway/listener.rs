//! The accept loop: takes connections within the limits, hands each to a shard.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{net::TcpListener, sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    connection::{self, Peer},
    connection_limits::{OverLimit, Seat, Seats},
    lifetime::Lifetime,
    stack::Stack,
    tls::Tls,
};
use crate::{
    audit,
    clock::Clock,
    metrics::{CONNECTIONS_ACCEPTED, CONNECTIONS_REFUSED},
    model::Payer,
    sparse_log::SparseLog,
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

/// Connections that could not be taken.
static NOT_TAKEN: SparseLog = SparseLog::by_the_minute();

/// Connections that were accepted and that no shard could take.
static NOT_HANDED: SparseLog = SparseLog::by_the_minute();

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
                    if let Some(left_out) = NOT_TAKEN.left_out() {
                        tracing::warn!(%error, left_out, "a connection could not be taken");
                    }
                    if is_exhaustion(&error) {
                        sleep(EXHAUSTED).await;
                    }
                    continue;
                }
            };
            CONNECTIONS_ACCEPTED.increment();
            let seat = match seats.take(address) {
                Ok(seat) => seat,
                Err(limit) => {
                    CONNECTIONS_REFUSED.increment();
                    limit.log(address);
                    // Where the server is full, that is no doing of this address.
                    if limit != OverLimit::Max {
                        audit::limit_hit(Payer::at(address), Some(address), None, "TOO_MANY_CONNECTIONS");
                    }
                    continue;
                }
            };
            if let Err(error) = prepare(&socket) {
                tracing::debug!(%error, "a socket's options could not be set");
            }
            turn = turn.wrapping_add(1);
            let shard = turn % shards.0.len();
            let handed = socket.into_std().map_err(|error| error.to_string()).and_then(|socket| {
                let accepted = Accepted { socket, address, door: self.door, seat };
                shards.0[shard].try_send(accepted).map_err(|_| "the shard is too busy".to_owned())
            });
            if let Err(error) = handed {
                CONNECTIONS_REFUSED.increment();
                if let Some(left_out) = NOT_HANDED.left_out() {
                    tracing::warn!(error, shard, left_out, "a connection was closed: no shard could take it");
                }
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
            let peer = Peer::new(address, door, index, answers, &lifetime, retiring.clone());
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

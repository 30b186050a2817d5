//! The accept loop: accepts connections within the limits, and hands each of them to a shard.

// What happens to a connection, in order.
mod connection_limits;
mod connection;
mod http2;
mod http1;
mod http1_io;

// What these use.
mod lifetime;
mod protocol;
mod lingering_close;
mod prefixed;
mod transport;
mod tls;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::connection_limits::{ConnectionPermit, OverLimit};
pub use self::{
    connection_limits::{ConnectionLimit, Limits},
    lifetime::Lifetime,
    tls::{Certificate, Tls, TlsConfig, TlsError, TlsFiles},
};
use super::{
    keep_alive::KeepAlive,
    peer::{Exposure, Peer},
    stack::Stack,
};
use crate::{
    audit,
    clock::Clock,
    metrics::{CONNECTIONS_ACCEPTED, CONNECTIONS_REFUSED},
    model::Payer,
    sparse_log::SparseLog,
};

/// How many connections the kernel queues until they are accepted.
const BACKLOG: i32 = 4_096;

/// How many accepted connections wait for their shard. Further ones are closed.
const SHARD_BACKLOG: usize = 1_024;

/// Pause of the accept loop after the system has run out of descriptors or memory.
const EXHAUSTED_BACKOFF: Duration = Duration::from_millis(100);

/// How long sent bytes may stay unacknowledged. Over HTTP/1.1 a stream whose peer has vanished sends its next heartbeat
/// within 15 seconds, so it ends within 45.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(25);

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    exposure: Exposure,
}

/// A connection that waits for its shard.
struct Accepted {
    socket: std::net::TcpStream,
    address: IpAddr,
    exposure: Exposure,
    permit: ConnectionPermit,
}

/// The receiving end of one shard.
#[derive(Debug)]
pub struct Shard(mpsc::Receiver<Accepted>);

/// The sending ends of all shards.
#[derive(Clone, Debug)]
pub struct Shards(Arc<[mpsc::Sender<Accepted>]>);

/// Makes `count` shards.
pub fn shards(count: usize) -> (Shards, Vec<Shard>) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(SHARD_BACKLOG)).unzip();
    (Shards(senders.into()), receivers.into_iter().map(Shard).collect())
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// The error of the system.
    pub fn bind(address: SocketAddr, exposure: Exposure) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket: socket.into(), exposure })
    }

    /// Takes over a socket that listens already, from a supervisor.
    ///
    /// # Errors
    /// The error of the system.
    pub fn from_socket(socket: std::net::TcpListener, exposure: Exposure) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, exposure })
    }

    /// Returns the address, with the port that the system chose.
    ///
    /// # Errors
    /// The error of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts connections until `stop`, and hands them to the shards in turn. Must run on a tokio runtime.
    ///
    /// # Errors
    /// Where the runtime cannot register the socket.
    pub async fn run(
        self,
        shards: Shards,
        limit: ConnectionLimit,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(self.socket)?;
        let mut accepted_count = 0_usize;
        loop {
            let (socket, address) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => (socket, peer.ip().to_canonical()),
                    Err(error) => {
                        accept_failed(&error).await;
                        continue;
                    }
                },
                () = stop.cancelled() => return Ok(()),
            };
            CONNECTIONS_ACCEPTED.increment();
            let Some(permit) = acquire(&limit, address) else { continue };
            if let Err(error) = set_options(&socket) {
                tracing::debug!(%error, "a socket's options could not be set");
            }
            accepted_count = accepted_count.wrapping_add(1);
            let connection = |socket| Accepted { socket, address, exposure: self.exposure, permit };
            shards.hand_over(accepted_count % shards.0.len(), socket.into_std().map(connection));
        }
    }
}

/// Logs a failed accept, once a minute, and waits where the system is exhausted. The other cause is a peer that has already
/// closed its connection.
async fn accept_failed(error: &io::Error) {
    static LOG: SparseLog = SparseLog::by_the_minute();
    if let Some(left_out) = LOG.left_out() {
        tracing::warn!(%error, left_out, "a connection could not be taken");
    }
    // ENFILE, EMFILE, ENOBUFS, ENOMEM on Linux.
    if matches!(error.raw_os_error(), Some(23 | 24 | 105 | 12)) {
        sleep(EXHAUSTED_BACKOFF).await;
    }
}

/// Counts a connection; none, with a log line, where it is over a limit.
fn acquire(limit: &ConnectionLimit, address: IpAddr) -> Option<ConnectionPermit> {
    let over = match limit.acquire(address) {
        Ok(permit) => return Some(permit),
        Err(over) => over,
    };
    CONNECTIONS_REFUSED.increment();
    over.log(address);
    // A full server is not the fault of this address.
    if over != OverLimit::Max {
        audit::limit_hit(Payer::at(address), Some(address), None, "TOO_MANY_CONNECTIONS");
    }
    None
}

fn set_options(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    Ok(())
}

impl Shards {
    /// Sends a connection to shard `index`. One that the shard cannot take is closed.
    fn hand_over(&self, index: usize, connection: io::Result<Accepted>) {
        static LOG: SparseLog = SparseLog::by_the_minute();
        let sent = connection.map_err(|error| error.to_string()).and_then(|connection| {
            self.0[index].try_send(connection).map_err(|_| "the shard is too busy".to_owned())
        });
        if let Err(error) = sent {
            CONNECTIONS_REFUSED.increment();
            if let Some(left_out) = LOG.left_out() {
                tracing::warn!(
                    error,
                    shard = index,
                    left_out,
                    "a connection was closed: no shard could take it"
                );
            }
        }
    }
}

impl Shard {
    /// Serves the connections of shard `index`, each in a task of this runtime, until the accept loops have ended.
    pub async fn serve(
        mut self,
        index: usize,
        stack: Arc<Stack>,
        tls: Option<Tls>,
        lifetime: Lifetime,
        clock: Clock,
    ) {
        while let Some(Accepted { socket, address, exposure, permit }) = self.0.recv().await {
            let socket = match TcpStream::from_std(socket) {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be registered");
                    continue;
                }
            };
            let max_age = lifetime.max_age.map(|age| jittered(age, &clock));
            let (lifetime, retiring) = lifetime.for_connection(max_age);
            let peer = Peer::new(
                address,
                exposure,
                index,
                stack.connection_memory(address),
                KeepAlive::new(lifetime.keep_alive, lifetime.end_keep_alive.clone()),
                retiring,
            );
            let (stack, tls) = (Arc::clone(&stack), tls.clone());
            let serving = async move {
                connection::serve(socket, tls, peer, stack, lifetime).await;
                drop(permit);
            };
            tokio::spawn(serving.instrument(tracing::Span::none()));
        }
    }
}

/// Returns `age` ± 10 %, so that connections that were opened together do not close together.
fn jittered(age: Duration, clock: &Clock) -> Duration {
    let [byte] = clock.random::<1>();
    age.mul_f64(0.9 + 0.2 * f64::from(byte) / 255.0)
}

//! The settings as types.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::{secret_source::SecretSource, value::LogFormat};
use crate::{
    domain::{BudgetConfig, RateLimitConfig, TokenConfig},
    gateway::{MetricsToken, TlsConfig},
    store::DatabaseUrl,
};

/// All settings. `None` is "no limit" or "not set", as the field says.
#[derive(Clone, Debug)]
pub struct Config {
    /// The addresses to bind: at least one, and no duplicates. Each serves every protocol.
    pub listen: Vec<SocketAddr>,
    /// Where the certificate comes from, already checked; `None`: no TLS.
    pub tls: Option<TlsConfig>,
    /// The folder of the database, the secret and the lock file.
    pub data_dir: PathBuf,
    /// The database.
    pub database: DatabaseUrl,
    /// Where the secrets that sign tokens come from.
    pub secrets: SecretSource,
    /// Lifetimes of tokens and sessions.
    pub tokens: TokenConfig,
    /// Rooms and their messages.
    pub rooms: RoomConfig,
    /// Limits of connections and streams.
    pub connections: ConnectionConfig,
    /// Limits on registrations, guesses and messages.
    pub rate_limits: RateLimitConfig,
    /// Limits on each caller's calls.
    pub budget: BudgetConfig,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins of other sites that may call, in lower case.
    pub cors_origins: Vec<String>,
    /// Access to /metrics.
    pub metrics: MetricsConfig,
    /// How long to go on accepting connections after SIGTERM.
    pub drain_delay: Duration,
    /// The log's filter and format.
    pub log: LogConfig,
    /// A folder to serve the page from, instead of the built-in page.
    pub web_dir: Option<PathBuf>,
}

/// Rooms and their messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomConfig {
    /// Length of a new short code, 4 to 32 characters.
    pub short_code_length: usize,
    /// How many of the newest messages stay in memory at least, for each room with streams.
    pub max_message_queue_size: usize,
    /// The longest message, in bytes.
    pub max_message_size: usize,
    /// Bytes of memory for the newest messages of all rooms; `None`: no limit.
    pub hub_memory: Option<usize>,
    /// The age at which messages are deleted; `None`: never.
    pub retention: Option<Duration>,
    /// How many rooms one user may own; `None`: no limit.
    pub per_user: Option<u32>,
}

/// Limits of connections and streams; `None`: no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Open connections in all.
    pub max: Option<u32>,
    /// Open connections from one address.
    pub max_per_address: Option<u32>,
    /// The age at which a connection is asked to reconnect.
    pub age: Option<Duration>,
    /// How long an HTTP/1.1 connection may be idle between two requests; zero: it serves one request.
    pub keep_alive: Duration,
    /// Open streams of one user.
    pub streams_per_user: Option<u32>,
    /// Bytes of memory for responses that clients have not read yet.
    pub answer_memory: usize,
}

/// Access to /metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// The bearer token; `None`: loopback only.
    pub token: Option<MetricsToken>,
    /// A separate address for /metrics; `None`: the addresses of everything else.
    pub address: Option<SocketAddr>,
}

/// The log's filter and format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Valid directives for `tracing`.
    pub filter: String,
    /// The format of a line.
    pub format: LogFormat,
}

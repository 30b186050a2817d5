//! The settings: read from defaults, file, environment and flags into one [`Config`].
//!
//! Every mistake is reported at once, with its name, its place and its remedy. Nothing is written back to the
//! environment, and a value that must not be seen is never repeated.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

mod data_dir;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod layers;
mod listen;
mod mistake;
mod near;
mod place;
mod reader;
mod secret;
mod setting;
mod text_file;
mod value;

use crate::{
    domain::{BudgetConfig, GuardConfig, TokenConfig},
    gateway::{MetricsToken, TlsConfig},
    store::DatabaseUrl,
};
pub use data_dir::{DataDir, DataDirError};
use layers::Layers;
pub use layers::{DEFAULT_FILE, Sources};
pub use mistake::ConfigError;
pub use place::{Place, Reach};
use reader::Reader;
pub use secret::Secrets;
pub use setting::{SETTINGS, Setting};

/// Everything that the program can be told. `None` is "no limit" or "not set", as the field says.
#[derive(Clone, Debug)]
pub struct Config {
    /// The addresses to bind. Never empty, no two alike; each speaks everything.
    pub listen: Vec<SocketAddr>,
    /// Where the certificate comes from, which was checked; none: no TLS.
    pub tls: Option<TlsConfig>,
    /// The folder of the database, the secret and the lock.
    pub data_dir: PathBuf,
    /// The database.
    pub database: DatabaseUrl,
    /// What signs tokens.
    pub secrets: Secrets,
    /// How long tokens live.
    pub tokens: TokenConfig,
    /// Rooms, their messages and what is kept of them.
    pub rooms: RoomConfig,
    /// What connections and streams may take.
    pub connections: ConnectionConfig,
    /// What is refused before it harms.
    pub guard: GuardConfig,
    /// What each caller may spend.
    pub budget: BudgetConfig,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins of other sites that may call, in lower case.
    pub cors_origins: Vec<String>,
    /// Who may read /metrics, and where.
    pub metrics: MetricsConfig,
    /// How long to go on accepting after SIGTERM.
    pub drain_delay: Duration,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The folder that holds the page in place of the one in the program.
    pub web_dir: Option<PathBuf>,
}

/// Rooms, their messages and what is kept of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomConfig {
    /// Characters of a new short code, 4 to 32.
    pub short_code_length: usize,
    /// Newest messages that stay in memory at least, for each room that has listeners.
    pub max_message_queue_size: usize,
    /// The longest message, in bytes.
    pub max_message_size: usize,
    /// Bytes of memory for the newest messages of all rooms; none: no limit.
    pub hub_memory: Option<usize>,
    /// The age at which messages are deleted; none: never.
    pub retention: Option<Duration>,
    /// Rooms that one user may own; none: no limit.
    pub per_user: Option<u32>,
}

/// What connections and streams may take; none: no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Open connections in all.
    pub max: Option<u32>,
    /// Open connections from one address.
    pub max_per_address: Option<u32>,
    /// The age at which a connection is asked to come again.
    pub age: Option<Duration>,
    /// How long an HTTP/1.1 connection may be idle between two requests; zero: it has one request. Never none.
    pub keep_alive: Duration,
    /// Open streams of one user.
    pub streams_per_user: Option<u32>,
    /// Bytes of memory for answers that are not read yet. Never none.
    pub answer_memory: usize,
}

/// Who may read /metrics, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// The bearer token; none: loopback only.
    pub token: Option<MetricsToken>,
    /// Where to serve them in place of the port that everybody uses.
    pub address: Option<SocketAddr>,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Directives for `tracing`; valid.
    pub filter: String,
    /// Lines for people or for programs.
    pub format: LogFormat,
}

/// The shape of a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A configuration, and what the log should say about how it came to be.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The settings file that was read.
    pub file: Option<PathBuf>,
    /// What stands somewhere and does not count, a sentence each: settings, and names that were probably meant to be some.
    pub notes: Vec<String>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let mut errors = ConfigError::default();
        let layers = Layers::read(sources, &mut errors);
        let mut reader = Reader::new(&layers, errors);
        let mut notes = layers.notes.clone();
        reader.refuse_not_yet();
        let config = Self::read(&mut reader, &mut notes, sources);
        let config = reader.finish().or(config)?;
        Ok(Loaded { config, file: layers.file, notes })
    }

    /// Reads settings that are given one by one, over the built-in defaults: for tests and for programs that
    /// embed the server.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_settings<'a>(
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ConfigError> {
        let mut sources = Sources::default();
        let mut errors = ConfigError::default();
        for (name, value) in settings {
            match Setting::find(name) {
                Some(setting) => sources.flags.push((setting.name, value.to_owned())),
                None => errors.add_sentence(format!("{name} is no setting")),
            }
        }
        errors.or(())?;
        Ok(Self::load(&sources)?.config)
    }

    fn read(reader: &mut Reader<'_>, notes: &mut Vec<String>, sources: &Sources) -> Self {
        let Place { data_dir, database } = Place::read(reader);
        let listen = listen::listen(reader, notes);
        let metrics_address = listen::metrics(reader, &listen);
        Self {
            listen,
            tls: reader.tls(sources.tls_self_signed),
            secrets: reader.secrets(&database),
            data_dir,
            database,
            tokens: TokenConfig {
                user: reader.required("TOKEN_DURATION", value::lifetime),
                chat: reader.required("CHAT_TOKEN_DURATION", value::lifetime),
                session: reader.required("SESSION_DURATION", value::lifetime),
                sessions_per_user: reader.required("SESSIONS_PER_USER", value::limit),
            },
            rooms: RoomConfig {
                short_code_length: reader.required("SHORT_CODE_LENGTH", value::number(4, 32)),
                max_message_queue_size: reader
                    .required("MAX_MESSAGE_QUEUE_SIZE", value::number(1, 1_000_000)),
                // A chunk of the hub holds 32 KiB, and a request twice that.
                max_message_size: reader
                    .required("MAX_MESSAGE_SIZE", value::size_within(1, 32 << 10, "from 1 to 32KiB")),
                hub_memory: reader.required("HUB_MEMORY", value::size_limit),
                retention: reader.optional("RETENTION", value::duration_limit).flatten(),
                per_user: reader.required("ROOMS_PER_USER", value::limit),
            },
            connections: ConnectionConfig {
                max: reader.required("MAX_CONNECTIONS", value::limit),
                max_per_address: reader.required("MAX_CONNECTIONS_PER_ADDRESS", value::limit),
                age: reader.required("CONNECTION_AGE", value::duration_limit),
                keep_alive: reader.required("KEEP_ALIVE_TIMEOUT", value::duration),
                streams_per_user: reader.required("STREAMS_PER_USER", value::limit),
                answer_memory: reader
                    .required("ANSWER_MEMORY", value::size_within(4 << 20, 1 << 40, "from 4MiB to 1024GiB")),
            },
            guard: GuardConfig {
                registrations_per_hour: reader.required("REGISTRATIONS_PER_HOUR", value::limit).unwrap_or(0),
                guesses_per_hour: reader.required("GUESSES_PER_HOUR", value::limit).unwrap_or(0),
                messages_per_second: reader.required("MESSAGES_PER_SECOND", value::limit).unwrap_or(0),
            },
            budget: BudgetConfig {
                reads_per_second: reader.required("READS_PER_SECOND", value::limit).unwrap_or(0),
                writes_per_second: reader.required("WRITES_PER_SECOND", value::limit).unwrap_or(0),
                calls_per_user: reader.required("CALLS_PER_USER", value::limit).unwrap_or(0),
                anonymous_per_second: reader.required("ANONYMOUS_PER_SECOND", value::limit).unwrap_or(0),
                anonymous_calls: reader.required("ANONYMOUS_CALLS", value::limit).unwrap_or(0),
            },
            trusted_proxies: reader.optional("TRUSTED_PROXIES", value::networks).unwrap_or_default(),
            cors_origins: reader.optional("CORS_ORIGINS", value::origins).unwrap_or_default(),
            metrics: MetricsConfig {
                token: reader.optional("METRICS_TOKEN", value::bearer).map(|token| MetricsToken::new(&token)),
                address: metrics_address,
            },
            drain_delay: reader.required("DRAIN_DELAY", value::duration),
            log: LogConfig {
                filter: reader.required("LOG_LEVEL", value::log_filter),
                format: reader.required("LOG_FORMAT", value::log_format),
            },
            web_dir: reader.web_dir(sources.web_dir.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests;

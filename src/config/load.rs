//! Reads a [`Config`] out of the layers.

use std::path::PathBuf;

use super::{
    database_location::DatabaseLocation,
    error::ConfigError,
    listen,
    reader::Reader,
    setting::Setting,
    settings::{Config, ConnectionConfig, LogConfig, MetricsConfig, RoomConfig},
    sources::{Layers, Sources},
    value,
};
use crate::{
    domain::{BudgetConfig, RateLimitConfig, TokenConfig},
    gateway::MetricsToken,
};

/// A configuration, and notes for the log about how it was read.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The settings file that was read.
    pub file: Option<PathBuf>,
    /// Ignored settings and probably misspelled names, a sentence each.
    pub notes: Vec<String>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let mut errors = ConfigError::default();
        let layers = Layers::read(sources, &mut errors);
        let mut reader = Reader::new(&layers, errors);
        let mut notes = layers.notes.clone();
        reader.refuse_unsupported();
        let config = read(&mut reader, &mut notes, sources);
        let config = reader.finish().or(config)?;
        Ok(Loaded { config, file: layers.file, notes })
    }

    /// Builds a configuration from single settings over the defaults, for tests and for programs that embed the server.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn from_settings<'a>(
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ConfigError> {
        let mut sources = Sources::default();
        let mut errors = ConfigError::default();
        for (name, value) in settings {
            match Setting::find(name) {
                Some(setting) => sources.flags.push((setting.name, value.to_owned())),
                None => errors.add_sentence(format!("{name} is not a setting")),
            }
        }
        errors.or(())?;
        Ok(Self::load(&sources)?.config)
    }
}

fn read(reader: &mut Reader<'_>, notes: &mut Vec<String>, sources: &Sources) -> Config {
    let DatabaseLocation { data_dir, database } = DatabaseLocation::read(reader);
    let listen = listen::listen(reader, notes);
    let metrics_address = listen::metrics(reader, &listen);
    Config {
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
        rooms: rooms(reader),
        connections: connections(reader),
        rate_limits: rate_limits(reader),
        budget: budget(reader),
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

fn rooms(reader: &mut Reader<'_>) -> RoomConfig {
    RoomConfig {
        short_code_length: reader.required("SHORT_CODE_LENGTH", value::number(4, 32)),
        max_message_queue_size: reader.required("MAX_MESSAGE_QUEUE_SIZE", value::number(1, 1_000_000)),
        // A chunk of the hub holds 32 KiB, and a request may have twice that.
        max_message_size: reader
            .required("MAX_MESSAGE_SIZE", value::size_within(1, 32 << 10, "from 1 to 32KiB")),
        hub_memory: reader.required("HUB_MEMORY", value::size_limit),
        retention: reader.optional("RETENTION", value::duration_limit).flatten(),
        per_user: reader.required("ROOMS_PER_USER", value::limit),
    }
}

fn connections(reader: &mut Reader<'_>) -> ConnectionConfig {
    ConnectionConfig {
        max: reader.required("MAX_CONNECTIONS", value::limit),
        max_per_address: reader.required("MAX_CONNECTIONS_PER_ADDRESS", value::limit),
        age: reader.required("CONNECTION_AGE", value::duration_limit),
        keep_alive: reader.required("KEEP_ALIVE_TIMEOUT", value::duration),
        streams_per_user: reader.required("STREAMS_PER_USER", value::limit),
        answer_memory: reader
            .required("ANSWER_MEMORY", value::size_within(4 << 20, 1 << 40, "from 4MiB to 1024GiB")),
    }
}

fn rate_limits(reader: &mut Reader<'_>) -> RateLimitConfig {
    RateLimitConfig {
        registrations_per_hour: reader.required("REGISTRATIONS_PER_HOUR", value::limit).unwrap_or(0),
        guesses_per_hour: reader.required("GUESSES_PER_HOUR", value::limit).unwrap_or(0),
        messages_per_second: reader.required("MESSAGES_PER_SECOND", value::limit).unwrap_or(0),
    }
}

fn budget(reader: &mut Reader<'_>) -> BudgetConfig {
    BudgetConfig {
        reads_per_second: reader.required("READS_PER_SECOND", value::limit).unwrap_or(0),
        writes_per_second: reader.required("WRITES_PER_SECOND", value::limit).unwrap_or(0),
        calls_per_user: reader.required("CALLS_PER_USER", value::limit).unwrap_or(0),
        anonymous_per_second: reader.required("ANONYMOUS_PER_SECOND", value::limit).unwrap_or(0),
        anonymous_calls: reader.required("ANONYMOUS_CALLS", value::limit).unwrap_or(0),
    }
}

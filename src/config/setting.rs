//! The table of settings: the only place that has their names, defaults and meanings.
//!
//! Parsing, the flags, `configs/default_config.env` and the documented table follow it. `tests/settings.rs` compares the
//! last two with it.

/// One setting: an environment name, a line of the settings file, and a flag.
#[derive(Debug)]
pub struct Setting {
    /// The name in the environment and in the file. The flag is `--its-name`.
    pub name: &'static str,
    /// The default, as a user would write it; empty if there is none.
    pub default: &'static str,
    /// The kind of value, for `--help`.
    pub value: &'static str,
    /// Whether its value is secret. A secret has no flag, since every user of a machine can read command lines.
    pub secret: bool,
    /// One line of meaning.
    pub meaning: &'static str,
}

impl Setting {
    /// Finds a setting by its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}

const fn setting(
    name: &'static str,
    default: &'static str,
    value: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting { name, default, value, secret: false, meaning }
}

const fn secret(name: &'static str, value: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default: "", value, secret: true, meaning }
}

/// Every setting, in the order in which the documents list them.
pub const SETTINGS: &[Setting] = &[
    setting(
        "SERVER_ADDRESS",
        "127.0.0.1",
        "ADDRESS",
        "address to listen on; 0.0.0.0 or :: for every interface",
    ),
    setting("SERVER_PORT", "8080", "PORT", "port to listen on; 0 lets the system choose"),
    setting(
        "REST_SERVER_ADDRESS",
        "",
        "ADDRESS",
        "the original's REST address: one more to listen on, which speaks everything too; does not count where SERVER_ADDRESS or SERVER_PORT stands",
    ),
    setting("REST_SERVER_PORT", "", "PORT", "its port"),
    setting("GRPC_SERVER_ADDRESS", "", "ADDRESS", "the original's gRPC address: as REST_SERVER_ADDRESS"),
    setting("GRPC_SERVER_PORT", "", "PORT", "its port"),
    setting(
        "DATA_DIR",
        "./data",
        "DIRECTORY",
        "folder of the SQLite database, the secret made on the first run, and the lock",
    ),
    secret(
        "DATABASE_URL",
        "URL",
        "sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME; unset: SQLite in DATA_DIR",
    ),
    secret(
        "SECRET",
        "TEXT",
        "signs tokens: at least 32 bytes; comma-separated, the first signs and all verify; unset: made and kept in DATA_DIR (PostgreSQL needs it)",
    ),
    setting("SECRET_FILE", "", "FILE", "a file with the secret; set this or SECRET"),
    setting("TOKEN_DURATION", "10m", "DURATION", "life of a user token"),
    setting("CHAT_TOKEN_DURATION", "24h", "DURATION", "life of a chat token"),
    setting("SESSION_DURATION", "30d", "DURATION", "life of a session after its last refresh"),
    setting("SHORT_CODE_LENGTH", "6", "COUNT", "characters of a new room's short code, 4 to 32"),
    setting(
        "MAX_MESSAGE_QUEUE_SIZE",
        "255",
        "COUNT",
        "newest messages kept in memory at least, for each room that has listeners",
    ),
    setting("MAX_MESSAGE_SIZE", "4096", "SIZE", "longest message, 32KiB at most"),
    setting("HUB_MEMORY", "64MiB", "SIZE", "memory for the newest messages of all rooms; 0 is no limit"),
    setting("RETENTION", "", "DURATION", "age at which messages are deleted; unset or 0 keeps them for ever"),
    setting("MAX_CONNECTIONS", "10000", "COUNT", "open connections; 0 is no limit"),
    setting(
        "MAX_CONNECTIONS_PER_ADDRESS",
        "256",
        "COUNT",
        "open connections from one address, but for a trusted proxy's; 0 is no limit",
    ),
    setting(
        "CONNECTION_AGE",
        "1h",
        "DURATION",
        "age at which a connection is asked to come again, give or take a tenth; 0 is no limit",
    ),
    setting(
        "KEEP_ALIVE_TIMEOUT",
        "75s",
        "DURATION",
        "how long an HTTP/1.1 connection may be idle between two requests, longer than a proxy keeps its own; 0 closes it after each answer",
    ),
    setting("STREAMS_PER_USER", "16", "COUNT", "open streams of one user; 0 is no limit"),
    setting(
        "REGISTRATIONS_PER_HOUR",
        "10",
        "COUNT",
        "new accounts from one address (IPv6: a /64); 0 is no limit",
    ),
    setting(
        "GUESSES_PER_HOUR",
        "30",
        "COUNT",
        "wrong passwords and short codes from one address, and by one account; 0 is no limit and turns the growing delays off",
    ),
    setting(
        "MESSAGES_PER_SECOND",
        "50",
        "COUNT",
        "messages of one user, in bursts of four times as many; 0 is no limit",
    ),
    setting(
        "READS_PER_SECOND",
        "100",
        "COUNT",
        "calls of one user that read, in bursts of four times as many, a list of rooms counting as five; 0 is no limit",
    ),
    setting(
        "WRITES_PER_SECOND",
        "20",
        "COUNT",
        "calls of one user that change something, but for messages, in bursts of four times as many; 0 is no limit",
    ),
    setting(
        "CALLS_PER_USER",
        "16",
        "COUNT",
        "calls of one user under way at a time, of which a write counts as four; others wait; 0 is no limit",
    ),
    setting(
        "ANONYMOUS_PER_SECOND",
        "200",
        "COUNT",
        "calls without a token from one address, in bursts of ten times as many, and as many new connections; 0 is no limit",
    ),
    setting(
        "ANONYMOUS_CALLS",
        "256",
        "COUNT",
        "calls without a token from one address under way at a time, and a quarter as many with a body; others wait; 0 is no limit",
    ),
    setting(
        "ROOMS_PER_USER",
        "1000",
        "COUNT",
        "rooms that one user may own; they may be a member of twice as many; 0 is no limit",
    ),
    setting(
        "SESSIONS_PER_USER",
        "100",
        "COUNT",
        "sessions of one user; one more ends the one that was refreshed the longest ago; 0 is no limit",
    ),
    setting(
        "ANSWER_MEMORY",
        "64MiB",
        "SIZE",
        "memory for answers that are made and not read yet, 4MiB at least",
    ),
    setting(
        "TRUSTED_PROXIES",
        "",
        "NETWORKS",
        "proxies whose X-Forwarded-For is believed, as 10.0.0.0/8,fd00::/8",
    ),
    setting(
        "CORS_ORIGINS",
        "",
        "ORIGINS",
        "origins of other sites that may call, as https://chat.example.org; comma-separated",
    ),
    secret("METRICS_TOKEN", "TEXT", "bearer token that /metrics asks for; unset: loopback only"),
    setting(
        "METRICS_ADDRESS",
        "",
        "ADDRESS:PORT",
        "a separate address for /metrics, which the other addresses then do not serve",
    ),
    setting("TLS_CERT", "", "FILE", "certificate chain in PEM; turns TLS on, together with TLS_KEY"),
    setting("TLS_KEY", "", "FILE", "private key in PEM"),
    setting(
        "DRAIN_DELAY",
        "0",
        "DURATION",
        "how long to go on accepting after SIGTERM, while load balancers take notice",
    ),
    setting(
        "LOG_LEVEL",
        "info",
        "LEVEL",
        "error, warn, info, debug or trace, or directives as info,grpcchatter::hub=debug",
    ),
    setting("LOG_FORMAT", "text", "FORMAT", "text or json"),
];

/// Settings of later versions. A value is refused, never ignored.
pub(super) const UNSUPPORTED: &[(&str, &str)] = &[("NATS_URL", "run a single instance, and leave it unset")];

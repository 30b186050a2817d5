//! Parses the text of a setting. Each error says what to write instead.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::store::{DatabaseUrl, PostgresUrl};

/// The format of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A value, or the error in the text.
pub(super) type Parsed<T> = Result<T, String>;

/// The longest accepted duration, so that a wrong unit does not overflow arithmetic on times.
const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

pub(super) fn address(text: &str) -> Parsed<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse()
        .map_err(|_| format!("`{text}` is not an IP address; write one like 127.0.0.1, 0.0.0.0 or ::1"))
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| {
        // Kubernetes sets such a variable for each service in every container: SERVER_PORT for a service named `server`.
        if text.contains("://") {
            format!(
                "`{text}` is not a port: Kubernetes sets this variable for a service of this name; set \
                 `enableServiceLinks: false` in the pod, or rename the service"
            )
        } else {
            format!("`{text}` is not a port; write a number from 0 to 65535")
        }
    })
}

pub(super) fn socket_address(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| format!("`{text}` is not an address with a port; write one like 127.0.0.1:9090"))
}

/// A bearer token. Refuses characters that a header cannot carry. The error never repeats the text.
pub(super) fn bearer(text: &str) -> Parsed<String> {
    // A header's value has no blanks at its ends.
    if text.trim() == text && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        Ok(text.to_owned())
    } else {
        Err("contains a control character, a character that is not ASCII, or a blank at an end, which no client can send in \
             `Authorization`; create one with `openssl rand -hex 32`"
            .to_owned())
    }
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    Ok(PathBuf::from(text))
}

/// A number from `least` to `most`.
pub(super) fn number(least: usize, most: usize) -> impl Fn(&str) -> Parsed<usize> {
    move |text| match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not accepted; write a number from {least} to {most}")),
    }
}

/// A number where 0 is "no limit".
pub(super) fn limit(text: &str) -> Parsed<Option<u32>> {
    match text.parse() {
        Ok(0) => Ok(None),
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(format!("`{text}` is not accepted; write a number from 0 (no limit) to {}", u32::MAX)),
    }
}

/// A size in bytes.
pub(super) fn size(text: &str) -> Parsed<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim_start() {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes = number.parse::<usize>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.ok_or_else(|| format!("`{text}` is not a size; write one like 4096, 16KiB, 64MiB or 1GiB"))
}

/// A size in bytes from `least` to `most`. `range` states both for the error.
pub(super) fn size_within(least: usize, most: usize, range: &'static str) -> impl Fn(&str) -> Parsed<usize> {
    move |text| match size(text)? {
        bytes if (least..=most).contains(&bytes) => Ok(bytes),
        _ => Err(format!("`{text}` is not accepted; write a size {range}")),
    }
}

/// A size where 0 is "no limit".
pub(super) fn size_limit(text: &str) -> Parsed<Option<usize>> {
    Ok(Some(size(text)?).filter(|&bytes| bytes > 0))
}

/// A duration; 0 needs no unit.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        Ok(_) => Err(format!("`{text}` is longer than a hundred years; write a shorter duration")),
        Err(_) => {
            Err(format!("`{text}` is not a duration; write one with its unit, like 30s, 10m, 1h30m or 30d"))
        }
    }
}

/// A duration of a second or more, for lifetimes.
pub(super) fn lifetime(text: &str) -> Parsed<Duration> {
    match duration(text)? {
        duration if duration >= Duration::from_secs(1) => Ok(duration),
        _ => Err(format!(
            "`{text}` is too short; write a second or more, like 10m or 24h (there is no unlimited lifetime)"
        )),
    }
}

/// A duration where 0 is "no limit".
pub(super) fn duration_limit(text: &str) -> Parsed<Option<Duration>> {
    Ok(Some(duration(text)?).filter(|duration| !duration.is_zero()))
}

/// Networks in CIDR notation; a bare address is a network of one.
pub(super) fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    let network = |text: &str| {
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.map(|network| network.trunc()).ok_or_else(|| {
            format!("`{text}` is not a network; write networks like 10.0.0.0/8 or fd00::/8, comma-separated")
        })
    };
    items(text).map(network).collect()
}

/// Origins as a browser sends them: scheme and host, and the port if it is not the scheme's default.
pub(super) fn origins(text: &str) -> Parsed<Vec<String>> {
    let origin = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let host = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
        let valid = host.is_some_and(|host| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
        });
        if valid {
            Ok(lower)
        } else {
            Err(format!(
                "`{text}` is not an origin; write only scheme, host and port, like https://chat.example.org"
            ))
        }
    };
    items(text).map(origin).collect()
}

/// Where the database is. The error never repeats the text, which may hold a password.
pub(super) fn database(text: &str) -> Parsed<DatabaseUrl> {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    match scheme.to_ascii_lowercase().as_str() {
        "sqlite" => {
            let file = rest.strip_prefix("//").unwrap_or(rest);
            if file.is_empty() || file.starts_with(':') || file.contains('?') {
                return Err(
                    "names no file; write a URL like sqlite://data/chat.db or sqlite:///var/lib/chat.db, \
                            without parameters"
                        .to_owned(),
                );
            }
            Ok(DatabaseUrl::Sqlite(PathBuf::from(file)))
        }
        "postgres" | "postgresql" if rest.len() > 2 && rest.starts_with("//") => {
            PostgresUrl::parse(text).map(DatabaseUrl::Postgres).map_err(str::to_owned)
        }
        _ => Err("is not a URL of SQLite or PostgreSQL; write sqlite://FILE or \
                  postgres://USER:PASSWORD@HOST:PORT/NAME"
            .to_owned()),
    }
}

/// Directives for `tracing`, checked and kept as text since the filter cannot be cloned.
pub(super) fn log_filter(text: &str) -> Parsed<String> {
    // `tracing` takes a lone word that is not a level as a target, and turns everything else off.
    let stray =
        items(text).find(|item| item.bytes().all(is_word_byte) && item.parse::<LevelFilter>().is_err());
    // `tracing` accepts no blanks around a directive.
    let directives = items(text).collect::<Vec<_>>().join(",");
    match (stray, EnvFilter::builder().parse(&directives)) {
        (None, Ok(_)) => Ok(directives),
        (Some(word), _) => Err(not_a_level(word)),
        (None, Err(_)) => Err(not_a_level(text)),
    }
}

fn not_a_level(text: &str) -> String {
    format!(
        "`{text}` is not a level; write error, warn, info, debug or trace, or directives like info,grpcchatter::hub=debug"
    )
}

const fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is not a format; write text or json")),
    }
}

/// The items of a comma-separated list, without blanks around them and without empty items.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}
